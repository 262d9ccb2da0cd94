"""PAMAP2: three IMUs (hand, chest, ankle) at 100 Hz, 18 activities, 9 subjects.

Reiss, Stricker: Introducing a New Benchmarked Dataset for Activity Monitoring, ISWC 2012.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearfar_har.readers.numbers import numbers
from nearfar_har.readers.synchronous import of_subjects, synchronous_recording
from nearfar_har.recording import Collection
from nearfar_kit.errors import UserError

__all__ = ["ACTIVITIES", "DEVICES", "NAME", "read_pamap2"]

DEVICES = ("hand", "chest", "ankle")
NAME = re.compile(r"(?P<subject>subject\d{3})\.dat")
# The set's own numbers; 0 is the time between activities.
ACTIVITIES = {
    1: "lying",
    2: "sitting",
    3: "standing",
    4: "walking",
    5: "running",
    6: "cycling",
    7: "Nordic walking",
    9: "watching TV",
    10: "computer work",
    11: "car driving",
    12: "ascending stairs",
    13: "descending stairs",
    16: "vacuum cleaning",
    17: "ironing",
    18: "folding laundry",
    19: "house cleaning",
    20: "playing soccer",
    24: "rope jumping",
}
_COLUMNS, _BLOCK = 54, 17
# Of an IMU's block: temperature, acceleration in the +-16 g range, in +-6 g (clips at impacts),
# angular velocity, magnetic field, orientation (invalid in this set).
_ACC, _GYRO = (1, 2, 3), (7, 8, 9)


def read_pamap2(
    path: Path,
    subjects: Sequence[str] | None = None,
    rate: float = 100.0,
    max_gap: float = 0.2,
) -> Collection:
    """``Protocol/subject101.dat`` ..., ``Optional/``, or one such file; subjects subject101, ...

    A row is time in s, activity, heart rate, then 17 columns an IMU: m/s^2 and rad/s.
    """
    root = Path(path)
    files = [root] if root.is_file() else sorted(root.rglob("subject*.dat"))
    recordings = []
    names = tuple(ACTIVITIES.values())
    use = [0, 1, *(3 + _BLOCK * d + c for d in range(len(DEVICES)) for c in (*_ACC, *_GYRO))]
    for file, match in of_subjects(files, NAME, subjects, str(root)):
        rows = numbers(file, _COLUMNS, use)
        activity = np.full(len(rows), -1, dtype=np.int64)
        for code, number in enumerate(ACTIVITIES):
            activity[rows[:, 1] == number] = code
        strange = np.flatnonzero((activity < 0) & (rows[:, 1] != 0))
        if len(strange):
            raise UserError(
                f"{file}: row {strange[0] + 1}: activity {rows[strange[0], 1]:g}; "
                f"expected 0 or one of {', '.join(map(str, ACTIVITIES))}"
            )
        recordings.append(
            synchronous_recording(
                file,
                match["subject"],
                file.parent.name,
                DEVICES,
                rows[:, 0],
                rows[:, 2:],
                activity,
                rate,
                max_gap=max_gap,
                by_bout=True,
            )
        )
    if not recordings:
        raise UserError(f"{root}: no subject1NN.dat; expected the PAMAP2 layout")
    return Collection("pamap2", tuple(recordings), names, DEVICES)
