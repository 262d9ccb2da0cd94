"""Windows: what a collection is cut into, and what everything after the readers works on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError

from nearfar_har.recording import CHANNELS, Collection, Recording

__all__ = ["Windows", "cut_windows", "labelled_subset", "load_npz", "save_npz"]

PURITY = 0.75  # share of a window that one activity must cover to be its label


@dataclass(frozen=True)
class Windows:
    """N synchronous windows of all devices.

    Attributes:
        signals: float32 [N, devices, 6, W], m/s^2 and rad/s; 0 where a device is absent.
        present: bool [N, devices]: the device was there throughout the window.
        activity: int64 [N], number in ``activities``, -1 where unlabelled.
        subject: int64 [N], number in ``subjects``.
        time: float64 [N], start in seconds of the recording's clock.
        group: int64 [N], equal for windows of one recording and segment: overlapping windows
            share it, so a split by group does not leak.
        rate: samples a second.
    """

    signals: np.ndarray
    present: np.ndarray
    activity: np.ndarray
    subject: np.ndarray
    time: np.ndarray
    group: np.ndarray
    subjects: tuple[str, ...]
    devices: tuple[str, ...]
    activities: tuple[str, ...]
    rate: float

    def __len__(self) -> int:
        return len(self.signals)

    @property
    def samples(self) -> int:
        return int(self.signals.shape[-1])

    def select(self, rows: np.ndarray) -> Windows:
        """The windows of a mask or of row numbers."""
        arrays = ("signals", "present", "activity", "subject", "time", "group")
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})

    def of_device(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """One device's windows [n, 6, W] where it is present, and their row numbers [n]."""
        if name not in self.devices:
            raise UserError(f"no device {name}; expected one of {', '.join(self.devices)}")
        device = self.devices.index(name)
        rows = np.flatnonzero(self.present[:, device])
        return self.signals[rows, device], rows

    def split_by_subject(self, held_out: str) -> tuple[Windows, Windows]:
        """All windows but those of one subject, and those."""
        if held_out not in self.subjects:
            raise UserError(f"no subject {held_out}; expected one of {', '.join(self.subjects)}")
        own = self.subject == self.subjects.index(held_out)
        return self.select(~own), self.select(own)


def cut_windows(
    collection: Collection, seconds: float = 2.0, overlap: float = 0.0, purity: float = PURITY
) -> Windows:
    """Cuts every recording into windows of ``seconds`` that overlap by a share ``overlap``.

    A window lies within one segment. Its label is the activity that covers at least ``purity`` of
    it, else none. Moments at which no device is present give no window.

    Raises:
        UserError: no window fits, rates differ, or a setting makes no sense.
    """
    if not 0 <= overlap < 1:
        raise UserError(f"overlap is {overlap}; expected a share from 0 to below 1")
    rates = {recording.rate for recording in collection.recordings}
    if len(rates) != 1:
        raise UserError(f"{collection.name}: rates {sorted(rates)} Hz; expected one: resample first")
    (rate,) = rates
    length = round(seconds * rate)
    if length < 2:
        raise UserError(f"windows of {seconds} s have {length} samples at {rate:g} Hz; expected 2")
    stride = max(1, round(length * (1 - overlap)))
    subjects = collection.subjects
    parts = []
    groups = 0
    for recording in collection.recordings:
        starts, group = _window_starts(recording.segment, length, stride)
        parts.append(_cut(recording, starts, length, purity, subjects, groups + group))
        groups += int(recording.segment.max(initial=0)) + 1
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if not len(arrays["signals"]):
        raise UserError(f"{collection.name}: no window of {seconds:g} s fits into any segment")
    return Windows(
        **arrays,
        subjects=subjects,
        devices=collection.devices,
        activities=collection.activities,
        rate=rate,
    )


def _window_starts(segment: np.ndarray, length: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """First samples of the windows inside each run of one segment, and their segments."""
    edges = np.flatnonzero(np.diff(segment, prepend=np.nan, append=np.nan))
    starts = [
        np.arange(a, b - length + 1, stride) for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]
    all_starts = np.concatenate([*starts, np.empty(0, np.int64)]).astype(np.int64)
    return all_starts, segment[all_starts]


def _cut(
    recording: Recording,
    starts: np.ndarray,
    length: int,
    purity: float,
    subjects: tuple[str, ...],
    group: np.ndarray,
) -> dict[str, np.ndarray]:
    inside = starts[:, None] + np.arange(length)  # n x W
    signals = recording.signals[inside].transpose(0, 2, 3, 1)  # n x devices x 6 x W
    # An acceleration sensor without a gyroscope is a device too; one without acceleration is not.
    present = ~np.isnan(signals[:, :, :3]).any((2, 3))
    kept = present.any(1)
    signals, present, inside = signals[kept], present[kept], inside[kept]
    signals = np.where(present[:, :, None, None], np.nan_to_num(signals), 0).astype(np.float32)
    return {
        "signals": signals,
        "present": present,
        "activity": _majority(recording.activity[inside], purity),
        "subject": np.full(len(signals), subjects.index(recording.subject), np.int64),
        "time": recording.start + inside[:, 0] / recording.rate,
        "group": group[kept],
    }


def _majority(activity: np.ndarray, purity: float) -> np.ndarray:
    """The label of each window of labels [n, W]."""
    label = np.full(len(activity), -1, np.int64)
    for value in np.unique(activity[activity >= 0]):
        label[(activity == value).mean(1) >= purity] = value
    return label


def labelled_subset(windows: Windows, share: float, seed: int) -> np.ndarray:
    """Row numbers of a share of the labelled windows: the ones that a user has labelled.

    The share is taken of every activity, at least one window of each, spread evenly over subjects.
    For one seed a smaller share lies inside a larger one.
    """
    if not 0 < share <= 1:
        raise UserError(f"share of labels is {share}; expected above 0, up to 1")
    rng = np.random.default_rng(seed)
    chosen = []
    for activity in np.unique(windows.activity[windows.activity >= 0]):
        rows = rng.permutation(np.flatnonzero(windows.activity == activity))
        # Each subject's first, then each one's second, and so on.
        subject = windows.subject[rows]
        turn = np.empty(len(rows), np.int64)
        for one in np.unique(subject):
            own = subject == one
            turn[own] = np.arange(own.sum())
        order = rows[np.argsort(turn, kind="stable")]
        chosen.append(order[: max(1, round(share * len(order)))])
    if not chosen:
        raise UserError("no window has a label; expected an activity for some")
    return np.sort(np.concatenate(chosen))


_ARRAYS = ("signals", "present", "activity", "subject", "time", "group")
_NAMES = ("subjects", "devices", "activities")


def save_npz(path: Path, windows: Windows) -> None:
    """Windows as one compressed .npz file, without pickle."""
    arrays = {name: getattr(windows, name) for name in _ARRAYS}
    names = {name: np.array(getattr(windows, name), dtype=np.str_) for name in _NAMES}
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays, **names, rate=np.float64(windows.rate))


def load_npz(path: Path) -> Windows:
    """Windows saved by :func:`save_npz`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = {name: tuple(str(x) for x in file[name]) for name in _NAMES}
            arrays = {name: file[name] for name in _ARRAYS}
            windows = Windows(**arrays, **names, rate=float(file["rate"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise UserError(f"{path}: not a file of windows ({error})") from error
    shape = (len(windows.activity), len(windows.devices), len(CHANNELS))
    if windows.signals.ndim != 4 or windows.signals.shape[:3] != shape:
        raise UserError(f"{path}: signals {windows.signals.shape}; expected {(*shape, 'samples')}")
    return windows
