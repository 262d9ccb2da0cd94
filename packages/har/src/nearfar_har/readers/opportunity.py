"""OPPORTUNITY: five body-worn IMUs at 30 Hz, four modes of locomotion, 4 subjects.

Roggen et al.: Collecting complex activity datasets in highly rich networked sensor environments,
INSS 2010. Columns as in the set's column_names.txt, which counts them from 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearfar_har.clock import GRAVITY
from nearfar_har.readers.numbers import numbers
from nearfar_har.readers.synchronous import of_subjects, synchronous_recording
from nearfar_har.recording import Collection
from nearfar_kit.errors import UserError

__all__ = ["ACTIVITIES", "DEVICES", "NAME", "read_opportunity"]

# First columns of acceleration and of angular velocity. The jacket's IMUs have acc, gyro, magnetic,
# quaternion (13 columns); the shoes' have Euler angles, acceleration in the room's and the body's
# frame, angular velocity in the body's and the room's frame, compass (16 columns from 103, 119).
_FIRST = {
    "rua": (51, 54),
    "lla": (90, 93),
    "lshoe": (109, 112),
    "rshoe": (125, 128),
    "back": (38, 41),
}
DEVICES = tuple(_FIRST)
_LOCOMOTION = 244
_COLUMNS = 250
_MODES = {1: "standing", 2: "walking", 4: "sitting", 5: "lying"}
ACTIVITIES = tuple(_MODES.values())
NAME = re.compile(r"(?P<subject>S\d)-(?P<run>ADL\d|Drill)\.dat")


def read_opportunity(
    path: Path, subjects: Sequence[str] | None = None, rate: float = 30.0, max_gap: float = 0.2
) -> Collection:
    """``S1-ADL1.dat`` ... ``S4-Drill.dat`` (250 columns), or one such file; subjects S1, ...

    Time is in ms, acceleration in mg. The set leaves the unit of angular velocity open; it is read
    as rad/s times 1000, what the IMUs deliver times the factor the set states.
    """
    root = Path(path)
    files = [root] if root.is_file() else sorted(root.rglob("S*.dat"))
    use = [0]
    for acc, gyro in _FIRST.values():
        use += [*range(acc - 1, acc + 2), *range(gyro - 1, gyro + 2)]
    unit = np.array(([GRAVITY / 1000] * 3 + [1e-3] * 3) * len(DEVICES))
    recordings = []
    for file, match in of_subjects(files, NAME, subjects, str(root)):
        rows = numbers(file, _COLUMNS, [*use, _LOCOMOTION - 1])
        activity = np.full(len(rows), -1, dtype=np.int64)
        for code, number in enumerate(_MODES):
            activity[rows[:, -1] == number] = code
        strange = np.flatnonzero((activity < 0) & (rows[:, -1] != 0))
        if len(strange):
            raise UserError(
                f"{file}: row {strange[0] + 1}, column {_LOCOMOTION}: locomotion "
                f"{rows[strange[0], -1]:g}; expected 0, 1, 2, 4 or 5"
            )
        recordings.append(
            synchronous_recording(
                file,
                match["subject"],
                match["run"],
                DEVICES,
                rows[:, 0] / 1000,
                rows[:, 1:-1] * unit,
                activity,
                rate,
                max_gap=max_gap,
                by_bout=False,  # modes change within seconds: whole windows would hardly be left
            )
        )
    if not recordings:
        raise UserError(f"{root}: no S1-ADL1.dat or the like; expected the OPPORTUNITY layout")
    return Collection("opportunity", tuple(recordings), ACTIVITIES, DEVICES)
