"""Fixed-length windows of all devices, and the ways to choose among them without a leak."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from nearfar_har.recording import CHANNELS, Collection, Recording
from nearfar_kit.arrays import open_arrays
from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError

__all__ = [
    "FORMAT",
    "PURITY",
    "Windows",
    "cut_windows",
    "join_windows",
    "labelled_subset",
    "load_npz",
    "save_npz",
]

FORMAT = "nearfar-har windows 1"
PURITY = 0.75  # share of a window that one activity must cover to be its label
_ACC, _GYRO = slice(0, 3), slice(3, 6)  # channels of the two sensors


@dataclass(frozen=True)
class Windows:
    """N synchronous windows of every device.

    Attributes:
        signals: float32 [N, devices, 6, W]; acceleration m/s^2, angular velocity rad/s; zero
            where the device is absent.
        present: bool [N, devices]; the device has every sample of the window.
        activity: int64 [N], index into ``activities``; -1 is unlabelled.
        subject: int64 [N], index into ``subjects``.
        time: float64 [N], start in seconds.
        group: int64 [N], one number a recording and segment: windows of different groups share no
            sample, however much windows overlap, so a split by group cannot leak.
        rate: samples a second.
        dropped: windows cut but left out, since no device was present.
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
    dropped: int = 0

    def __post_init__(self) -> None:
        shape = self.signals.shape
        if len(shape) != 4 or shape[1:3] != (len(self.devices), len(CHANNELS)):
            raise ValueError(
                f"signals are {list(shape)}; expected [N, {len(self.devices)}, {len(CHANNELS)}, W]"
            )
        if self.present.shape != shape[:2]:
            raise ValueError(f"present is {list(self.present.shape)}; expected {list(shape[:2])}")
        for name in ("activity", "subject", "time", "group"):
            if getattr(self, name).shape != shape[:1]:
                raise ValueError(
                    f"{name} is {list(getattr(self, name).shape)}; expected [{shape[0]}]"
                )

    def __repr__(self) -> str:
        people = len(set(self.subject.tolist()))
        length = self.samples / self.rate
        devices = ", ".join(self.devices)
        return f"Windows({len(self)} of {length:g} s, devices {devices}, {people} subjects)"

    def __len__(self) -> int:
        return len(self.signals)

    @property
    def samples(self) -> int:
        """W, the samples of one window."""
        return int(self.signals.shape[-1])

    def select(self, rows: np.ndarray) -> Windows:
        """The windows of a mask bool [N] or an index int [M], in that order; names are kept."""
        rows = np.asarray(rows)
        return replace(self, **{name: getattr(self, name)[rows] for name in _ROWS})

    def relabelled(self, activity: np.ndarray, activities: tuple[str, ...]) -> Windows:
        """The same windows with other labels: activity [N], numbers in ``activities``."""
        return replace(self, activity=activity, activities=activities)

    def of_device(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """One device's windows [n, 6, W] where it is present, and their row numbers [n]."""
        if name not in self.devices:
            raise UserError(f"no device {name!r}; expected one of {', '.join(self.devices)}")
        device = self.devices.index(name)
        rows = np.flatnonzero(self.present[:, device])
        return self.signals[rows, device], rows

    def split_by_subject(self, held_out: str | Sequence[str]) -> tuple[Windows, Windows]:
        """Windows of the other subjects, and of those held out. Neither may be empty."""
        names = [held_out] if isinstance(held_out, str) else list(held_out)
        for name in names:
            if name not in self.subjects:
                raise UserError(f"no subject {name!r}; expected some of {', '.join(self.subjects)}")
        test = np.isin(self.subject, [self.subjects.index(name) for name in names])
        if test.all() or not test.any():
            raise UserError(f"holding out {names} leaves no window on one side of the split")
        return self.select(~test), self.select(test)


_ROWS = ("signals", "present", "activity", "subject", "time", "group")


def cut_windows(
    collection: Collection, seconds: float = 2.0, overlap: float = 0.0, purity: float = PURITY
) -> Windows:
    """Windows of ``seconds`` that never cross a segment; those without any device are dropped.

    A window's label is its most frequent one if that covers at least ``purity`` of the samples,
    else -1. A device is present where its acceleration and angular velocity are whole; one that
    has no gyroscope in the whole collection (MHEALTH's chest) needs acceleration only, and its
    other channels read zero.

    Args:
        overlap: share of a window that the next one repeats, 0 <= overlap < 1.
    """
    rates = sorted({r.rate for r in collection.recordings})
    if len(rates) > 1:
        raise UserError(f"{collection.name}: rates {rates} Hz; expected one: resample first")
    rate = rates[0]
    width = round(seconds * rate)
    if width < 2:
        raise UserError(f"windows of {seconds:g} s at {rate:g} Hz: expected two samples or more")
    if not 0 <= overlap < 1:
        raise UserError(f"overlap is {overlap}; expected 0 <= overlap < 1")
    if not 0.5 <= purity <= 1:
        raise UserError(f"purity is {purity}; expected 0.5 to 1, a majority")
    step = max(1, round(width * (1 - overlap)))
    accelerometer_only = _without_gyroscope(collection)
    subjects = collection.subjects
    parts: dict[str, list[np.ndarray]] = {name: [] for name in _ROWS}
    dropped = group = 0
    for recording in collection.recordings:
        for begin, end in _segments(recording.segment):
            if end - begin >= width:
                rows = _cut(recording, begin, end, width, step, purity, accelerometer_only)
                kept = len(rows["time"])
                dropped += (end - begin - width) // step + 1 - kept
                rows["subject"] = np.full(kept, subjects.index(recording.subject))
                rows["group"] = np.full(kept, group)
                for name in _ROWS:
                    parts[name].append(rows[name])
            group += 1
    if not any(len(p) for p in parts["time"]):
        cut = f"none of {dropped} holds a whole device" if dropped else "no segment is as long"
        raise UserError(f"{collection.name}: no window of {seconds:g} s ({width} samples): {cut}")
    return Windows(
        **{name: np.concatenate(arrays) for name, arrays in parts.items()},
        subjects=subjects,
        devices=collection.devices,
        activities=collection.activities,
        rate=rate,
        dropped=dropped,
    )


def _segments(segment: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end of each run of equal numbers."""
    cuts = np.flatnonzero(np.diff(segment)) + 1
    edges = [0, *cuts.tolist(), len(segment)]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]


def _without_gyroscope(collection: Collection) -> np.ndarray:
    """bool [devices]: no angular velocity anywhere in the collection."""
    seen = np.zeros(len(collection.devices), dtype=bool)
    for recording in collection.recordings:
        seen |= np.isfinite(recording.signals[..., _GYRO]).any(axis=(0, 2))
    return ~seen


def _cut(
    recording: Recording,
    begin: int,
    end: int,
    width: int,
    step: int,
    purity: float,
    accelerometer_only: np.ndarray,
) -> dict[str, np.ndarray]:
    view = np.lib.stride_tricks.sliding_window_view
    signals = view(recording.signals[begin:end], width, axis=0)[::step]  # n x devices x 6 x W
    whole = np.isfinite(signals).all(axis=3)  # n x devices x 6
    present = whole[..., _ACC].all(axis=2) & (whole[..., _GYRO].all(axis=2) | accelerometer_only)
    keep = present.any(axis=1)
    usable = (whole & present[:, :, None])[keep]
    signals = np.where(usable[..., None], signals[keep], np.float32(0))
    labels = view(recording.activity[begin:end], width)[::step][keep]  # n x W
    return {
        "signals": np.ascontiguousarray(signals),
        "present": present[keep],
        "activity": _majority(labels, purity),
        "time": recording.start + (begin + step * np.flatnonzero(keep)) / recording.rate,
    }


def _majority(labels: np.ndarray, purity: float) -> np.ndarray:
    """int64 [n]: the label that covers at least ``purity`` of a row of [n, W], else -1."""
    found = np.full(len(labels), -1, dtype=np.int64)
    for label in np.unique(labels):
        found[(labels == label).mean(axis=1) >= purity] = label
    return found


def join_windows(parts: Sequence[Windows]) -> Windows:
    """Windows cut apart (subject by subject, to spare memory) as one; groups are renumbered."""
    first = parts[0]
    subjects = tuple(sorted({name for p in parts for name in p.subjects}))
    codes, groups, base = [], [], 0
    for part in parts:
        for name in ("devices", "activities", "rate", "samples"):
            if getattr(part, name) != getattr(first, name):
                raise ValueError(
                    f"cannot join: {name} {getattr(part, name)} and {getattr(first, name)}"
                )
        codes.append(np.array([subjects.index(s) for s in part.subjects], np.int64)[part.subject])
        groups.append(part.group + base)
        base = int(groups[-1].max(initial=base - 1)) + 1
    rows: dict[str, Any] = {n: np.concatenate([getattr(p, n) for p in parts]) for n in _ROWS}
    rows |= {"subject": np.concatenate(codes), "group": np.concatenate(groups)}
    return replace(first, **rows, subjects=subjects, dropped=sum(p.dropped for p in parts))


def labelled_subset(windows: Windows, share: float, seed: int) -> np.ndarray:
    """Sorted rows int64 [M]: ``share`` of the labelled windows, the same for the same seed.

    Every class keeps its share, one window at least, spread over its subjects in proportion. The
    sets are nested: for one seed the 1 % set lies inside the 10 % set.
    """
    if not 0 < share <= 1:
        raise UserError(f"share of labels is {share}; expected 0 < share <= 1")
    rng = np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    for label in range(len(windows.activities)):
        own = np.flatnonzero(windows.activity == label)
        if not len(own):
            continue
        cells = [own[windows.subject[own] == s] for s in np.unique(windows.subject[own])]
        rows = np.concatenate([rng.permutation(cell) for cell in cells])
        # Place each subject's windows evenly on [0, 1) with staggered starts: any prefix of the
        # merged order holds near its share of every subject, whatever the share will be.
        stagger = (rng.permutation(len(cells)) + 0.5) / len(cells)
        place = np.concatenate(
            [(np.arange(len(c)) + u) / len(c) for c, u in zip(cells, stagger, strict=True)]
        )
        chosen.append(rows[np.argsort(place, kind="stable")][: max(1, round(share * len(own)))])
    if not chosen:
        raise UserError("no window is labelled; expected an activity for some of them")
    return np.sort(np.concatenate(chosen))


def save_npz(path: Path, windows: Windows) -> None:
    """Windows as one compressed .npz of plain arrays; the file appears whole or not at all."""
    arrays: dict[str, Any] = {f.name: np.asarray(getattr(windows, f.name)) for f in fields(windows)}
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, format=np.asarray(FORMAT), **arrays)


def load_npz(path: Path) -> Windows:
    """Read what ``save_npz`` wrote. Objects are refused, so the file can run no code."""
    path = Path(path)
    with open_arrays(path, "a readable .npz of plain arrays") as file:
        stored = {name: file[name] for name in file.files}
    if str(stored.get("format")) != FORMAT:
        raise UserError(f"{path}: field 'format' is not {FORMAT!r}; expected a file of save_npz")
    missing = [f.name for f in fields(Windows) if f.name not in stored]
    if missing:
        raise UserError(f"{path}: field {missing[0]!r} is missing; expected a file of save_npz")
    values: dict[str, Any] = {f.name: stored[f.name] for f in fields(Windows)}
    for name in ("subjects", "devices", "activities"):
        values[name] = tuple(str(v) for v in values[name].tolist())
    values["rate"], values["dropped"] = float(values["rate"]), int(values["dropped"])
    try:
        return Windows(**values)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
