"""DSADS: five Xsens units on one clock at 25 Hz, 19 activities of five minutes.

Daily and Sports Activities (Altun, Barshan, Tuncel: Comparative study on classifying human
activities with miniature inertial and magnetic sensors, Pattern Recognition 43, 2010).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearfar_har.recording import Collection, Recording
from nearfar_kit.arrays import open_arrays
from nearfar_kit.errors import UserError

__all__ = ["ACTIVITIES", "DEVICES", "read_dsads", "read_dsads_npz"]

DEVICES = ("torso", "right_arm", "left_arm", "right_leg", "left_leg")
ACTIVITIES = (
    "sitting",
    "standing",
    "lying on back",
    "lying on right side",
    "ascending stairs",
    "descending stairs",
    "standing in a lift",
    "moving in a lift",
    "walking in a parking lot",
    "treadmill 4 km/h flat",
    "treadmill 4 km/h 15 degrees",
    "treadmill run 8 km/h",
    "stepper",
    "cross trainer",
    "exercise bike horizontal",
    "exercise bike vertical",
    "rowing",
    "jumping",
    "basketball",
)
RATE = 25.0
SEGMENT = 125  # samples, 5 s; the files are consecutive, but the set states no continuity
_ACC, _GYRO = 0.004, 0.001  # m/s^2 and rad/s a count of the compact file


def read_dsads(path: Path, subjects: tuple[str, ...] | None = None) -> Collection:
    """The raw layout ``aAA/pP/sSS.txt`` (125 x 45, comma separated); subjects are p1, p2, ...

    Args:
        subjects: read only these.
    """
    root = Path(path)
    files = sorted(root.rglob("a[0-9][0-9]/p[0-9]*/s[0-9]*.txt"))
    if not files:
        raise UserError(f"{root}: no aAA/pP/sSS.txt under it; expected the DSADS layout")
    sessions: dict[tuple[str, str], list[Path]] = {}
    for file in files:
        who, what = file.parent.name, file.parent.parent.name
        if subjects is None or who in subjects:
            sessions.setdefault((who, what), []).append(file)
    if not sessions:
        raise UserError(f"{root}: none of the subjects {subjects}; expected names such as p1")
    recordings = []
    for (who, what), parts in sorted(sessions.items()):
        label = int(what[1:]) - 1
        if not 0 <= label < len(ACTIVITIES):
            raise UserError(f"{root / what}: activity {label + 1}; expected a01 to a19")
        signals = np.concatenate([_segment(file) for file in parts])
        recordings.append(_recording(who, label, signals))
    return Collection("dsads", tuple(recordings), ACTIVITIES, DEVICES)


def _segment(file: Path) -> np.ndarray:
    """float32 [125, 5, 6] of one file; each unit's magnetometer is left out."""
    rows = file.read_text().split("\n")
    rows = [row for row in rows if row.strip()]
    if len(rows) != SEGMENT:
        raise UserError(f"{file}: {len(rows)} rows; expected {SEGMENT}")
    values = np.empty((SEGMENT, 45), dtype=np.float32)
    for number, row in enumerate(rows, start=1):
        cells = row.split(",")
        try:
            values[number - 1] = [float(cell) for cell in cells]
        except ValueError:
            raise UserError(
                f"{file}: row {number} is not 45 comma-separated numbers ({len(cells)} fields)"
            ) from None
    return values.reshape(SEGMENT, len(DEVICES), 9)[:, :, :6]


def read_dsads_npz(path: Path, subjects: tuple[str, ...] | None = None) -> Collection:
    """The compact file: ``imu`` int16 [subjects, 19, samples, 5, 6]; subjects are p1, p2, ...

    The numbers follow the file, which does not say which of the set's eight people they are.
    """
    path = Path(path)
    with open_arrays(path, "a readable array 'imu'") as file:
        imu = file["imu"]
    expected = (len(ACTIVITIES), len(DEVICES), 6)
    if imu.dtype != np.int16 or imu.ndim != 5 or (imu.shape[1], *imu.shape[3:]) != expected:
        raise UserError(
            f"{path}: 'imu' is {imu.dtype} {list(imu.shape)}; "
            "expected int16 [subjects, 19, samples, 5, 6]"
        )
    unit = np.array([_ACC] * 3 + [_GYRO] * 3, dtype=np.float32)
    recordings = []
    for number, person in enumerate(imu, start=1):
        if subjects is None or f"p{number}" in subjects:
            for label, counts in enumerate(person):
                recordings.append(_recording(f"p{number}", label, counts * unit))
    if not recordings:
        raise UserError(f"{path}: none of the subjects {subjects}; expected p1 to p{len(imu)}")
    return Collection("dsads", tuple(recordings), ACTIVITIES, DEVICES)


def _recording(subject: str, label: int, signals: np.ndarray) -> Recording:
    return Recording(
        subject=subject,
        session=f"a{label + 1:02d}",
        rate=RATE,
        devices=DEVICES,
        signals=signals.astype(np.float32, copy=False),
        activity=np.full(len(signals), label, dtype=np.int64),
        segment=np.arange(len(signals), dtype=np.int64) // SEGMENT,
    )
