"""MHEALTH: chest, left ankle and right arm at 50 Hz, 12 activities, 10 subjects.

Banos et al.: mHealthDroid: a novel framework for agile development of mobile health applications,
IWAAL 2014. The chest has no gyroscope.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearfar_har.clock import fast_turns, gyro_factor
from nearfar_har.readers.numbers import numbers
from nearfar_har.readers.synchronous import of_subjects, synchronous_recording
from nearfar_har.recording import Collection
from nearfar_kit.errors import UserError

__all__ = ["ACTIVITIES", "DEVICES", "NAME", "read_mhealth"]

DEVICES = ("chest", "left_ankle", "right_arm")
ACTIVITIES = (
    "standing still",
    "sitting and relaxing",
    "lying down",
    "walking",
    "climbing stairs",
    "waist bends forward",
    "frontal elevation of arms",
    "knees bending",
    "cycling",
    "jogging",
    "running",
    "jump front and back",
)
NAME = re.compile(r"mHealth_(?P<subject>subject\d+)\.log")
RATE = 50.0
_COLUMNS = 24
# chest acc 0-2, ECG 3-4, ankle acc 5-7, gyro 8-10, magnetic 11-13, arm acc 14-16, gyro 17-19,
# magnetic 20-22, label 23
_USE = [0, 1, 2, *range(5, 11), *range(14, 20), 23]


def read_mhealth(
    path: Path,
    subjects: Sequence[str] | None = None,
    rate: float = RATE,
    gyro_unit: str = "deg/s",
    max_gap: float = 0.2,
) -> Collection:
    """``mHealth_subject1.log`` ..., or one such file; subjects subject1, ...

    Acceleration is in m/s^2. The set's notes state deg/s for angular velocity, though its numbers
    are smaller than limbs turn in that unit.
    """
    root = Path(path)
    files = [root] if root.is_file() else sorted(root.rglob("mHealth_subject*.log"))
    recordings = []
    notes: list[str] = []
    factor = gyro_factor(gyro_unit)
    for file, match in of_subjects(files, NAME, subjects, str(root)):
        rows = numbers(file, _COLUMNS, _USE)
        label = rows[:, -1].astype(np.int64)
        strange = np.flatnonzero((label != rows[:, -1]) | (label < 0) | (label > len(ACTIVITIES)))
        if len(strange):
            raise UserError(
                f"{file}: row {strange[0] + 1}: label {rows[strange[0], -1]:g}; expected 0 to 12"
            )
        values = np.full((len(rows), 6 * len(DEVICES)), np.nan)
        values[:, 0:3] = rows[:, 0:3]
        values[:, 6:18] = rows[:, 3:15]
        turns = {"left_ankle": values[:, 9:12], "right_arm": values[:, 15:18]}
        notes += fast_turns(turns, str(file), gyro_unit)
        for gyro in (slice(9, 12), slice(15, 18)):
            values[:, gyro] *= factor
        recordings.append(
            synchronous_recording(
                file,
                match["subject"],
                file.stem,
                DEVICES,
                np.arange(len(rows)) / RATE,  # the set has no time column
                values,
                label - 1,
                rate,
                max_gap=max_gap,
                by_bout=True,
            )
        )
    if not recordings:
        raise UserError(f"{root}: no mHealth_subjectN.log; expected the MHEALTH layout")
    return Collection("mhealth", tuple(recordings), ACTIVITIES, DEVICES, tuple(notes))
