"""Recordings: one subject, one session, every device on one clock. What all readers return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["CHANNELS", "Collection", "Recording"]

CHANNELS = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")


@dataclass(frozen=True)
class Recording:
    """One stretch of time.

    Attributes:
        rate: samples a second.
        signals: float32 [T, devices, 6], CHANNELS in m/s^2 and rad/s; NaN where a device, or its
            gyroscope, was absent.
        activity: int64 [T], number in the collection's activities, -1 where unlabelled.
        segment: int64 [T]; no window crosses a change of segment.
        start: time of the first sample, seconds.
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
        expected = (len(self.activity), len(self.devices), len(CHANNELS))
        if self.signals.shape != expected or self.segment.shape != self.activity.shape:
            raise ValueError(
                f"recording {self.subject}/{self.session}: signals {self.signals.shape}, activity "
                f"{self.activity.shape}, segment {self.segment.shape}; expected signals {expected}"
            )
        if not self.rate > 0:
            raise ValueError(f"recording {self.subject}/{self.session}: rate {self.rate} Hz")


@dataclass(frozen=True)
class Collection:
    """A data set: recordings that share their devices and the numbering of activities."""

    name: str
    recordings: tuple[Recording, ...]
    activities: tuple[str, ...]
    devices: tuple[str, ...]

    def __post_init__(self) -> None:
        for recording in self.recordings:
            if recording.devices != self.devices:
                raise ValueError(f"{recording.subject} has {recording.devices} not {self.devices}")

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(sorted({recording.subject for recording in self.recordings}))
