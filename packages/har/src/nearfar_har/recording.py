"""What every reader returns: recordings of several body-worn sensors on one clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["CHANNELS", "Collection", "Recording"]

CHANNELS = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")


@dataclass(frozen=True)
class Recording:
    """One subject, one session, every device on one clock.

    Attributes:
        subject: the wearer's name in the data set.
        session: names the recording among the subject's own.
        rate: samples a second.
        devices: names, in the order of ``signals``.
        signals: float32 [T, devices, 6], the channels of ``CHANNELS``: acceleration with gravity in
            m/s^2, then angular velocity in rad/s. NaN where a device or channel was absent.
        activity: int64 [T], index into the collection's activities; -1 is unlabelled.
        segment: int64 [T]; no window crosses a change of it.
        start: time of sample 0 in seconds (UNIX or session time).
    """

    subject: str
    session: str
    rate: float
    devices: tuple[str, ...]
    signals: np.ndarray
    activity: np.ndarray
    segment: np.ndarray
    start: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise self._fault(f"rate is {self.rate}; expected a positive number of Hz")
        if not math.isfinite(self.start):
            raise self._fault(f"start is {self.start}; expected finite seconds")
        if not self.devices or len(set(self.devices)) != len(self.devices):
            raise self._fault(f"devices are {self.devices}; expected one or more different names")
        shape = (len(self.signals), len(self.devices), len(CHANNELS))
        if self.signals.dtype != np.float32 or self.signals.shape != shape:
            raise self._fault(
                f"signals are {self.signals.dtype} {list(self.signals.shape)}; "
                f"expected float32 [T, {shape[1]}, {shape[2]}]"
            )
        if np.isinf(self.signals).any():
            raise self._fault("signals hold infinite values; expected numbers, NaN where absent")
        for name in ("activity", "segment"):
            values = getattr(self, name)
            if values.dtype != np.int64 or values.shape != shape[:1]:
                raise self._fault(
                    f"{name} is {values.dtype} {list(values.shape)}; expected int64 [{shape[0]}]"
                )

    def __len__(self) -> int:
        return len(self.signals)

    def _fault(self, what: str) -> ValueError:
        return ValueError(f"recording {self.session!r} of subject {self.subject!r}: {what}")


@dataclass(frozen=True)
class Collection:
    """Recordings that share their devices and their list of activities.

    Attributes:
        notes: what the reader took for granted, a line each, for its user to judge.
        unlabelled: why nothing can have an activity, for who needs them; empty where some can.
    """

    name: str
    recordings: tuple[Recording, ...]
    activities: tuple[str, ...]
    devices: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unlabelled: str = ""

    def __post_init__(self) -> None:
        if not self.recordings:
            raise ValueError(f"collection {self.name!r} has no recording; expected at least one")
        if len(set(self.activities)) != len(self.activities):
            raise ValueError(f"collection {self.name!r} names an activity twice: {self.activities}")
        for recording in self.recordings:
            if recording.devices != self.devices:
                raise recording._fault(f"devices {recording.devices}; expected {self.devices}")
            known = recording.activity
            if known.size and not (known.min() >= -1 and known.max() < len(self.activities)):
                raise recording._fault(
                    f"activity codes {known.min()} to {known.max()}; "
                    f"expected -1 to {len(self.activities) - 1}"
                )

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(sorted({r.subject for r in self.recordings}))

    @property
    def seconds(self) -> float:
        """Recorded time in all."""
        return float(sum(len(r) / r.rate for r in self.recordings))
