"""GeoTec: a phone and a watch with clocks of their own at about 100 Hz, 5 activities, 18 subjects.

Matey-Sanz, Casteleyn, Granell: Dataset of inertial measurements of smartphones and smartwatches for
human activity recognition, Data in Brief 51, 2023.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearfar_har.clock import Stream, in_order, labels_on, on_one_clock
from nearfar_har.recording import Collection, Recording
from nearfar_kit.arrays import open_arrays
from nearfar_kit.errors import UserError

__all__ = ["DEVICES", "read_geotec"]

DEVICES = ("phone", "watch")
_KEY = re.compile(r"(s\d\d)_(\d\d)_(sp|sw)_t")


def read_geotec(
    path: Path, subjects: Sequence[str] | None = None, rate: float = 100.0, max_gap: float = 0.2
) -> Collection:
    """``geotec_sp_sw.npz``: a run of a subject a recording; subjects s01, ...

    Arrays sXX_YY_{sp,sw}_{x,t,y}: float32 [n, 6] in m/s^2 and rad/s, UNIX ms, label.
    """
    path = Path(path)
    recordings = []
    with open_arrays(path, "the GeoTec arrays sXX_YY_sp_x and so on") as file:
        activities = tuple(str(name).lower().replace("_", " ") for name in file["label_names"])
        runs: dict[tuple[str, str], list[str]] = {}
        for match in filter(None, map(_KEY.fullmatch, file.files)):
            if subjects is None or match[1] in subjects:
                runs.setdefault((match[1], match[2]), []).append(match[3])
        for (subject, run), kinds in sorted(runs.items()):
            arrays = {kind: [file[f"{subject}_{run}_{kind}_{a}"] for a in "txy"] for kind in kinds}
            recordings.append(_run(path, subject, run, arrays, rate, max_gap))
    if not recordings:
        raise UserError(f"{path}: no run of the subjects {subjects}; expected names such as s01")
    return Collection("geotec", tuple(recordings), activities, DEVICES)


def _run(
    path: Path,
    subject: str,
    run: str,
    arrays: dict[str, list[np.ndarray]],
    rate: float,
    max_gap: float,
) -> Recording:
    parts, label_times, labels = [], [], []
    for kind, (time, values, label) in arrays.items():
        seconds = time / 1000
        stream = Stream(seconds, values.astype(np.float64), f"{path}: {subject}_{run}_{kind}")
        parts.append((in_order(stream), ("sp", "sw").index(kind), slice(None)))
        label_times.append(seconds)
        labels.append(label)
    signals, start = on_one_clock(parts, len(DEVICES), rate, max_gap)
    # The phone's labels where it has them: it is worn at the hip, nearest to what is labelled.
    on_grid = [
        labels_on(t, y, start, len(signals), rate, max_gap)
        for t, y in zip(label_times, labels, strict=True)
    ]
    activity = on_grid[0]
    for other in on_grid[1:]:
        activity = np.where(activity < 0, other, activity)
    segment = np.zeros(len(signals), dtype=np.int64)
    return Recording(subject, run, rate, DEVICES, signals, activity, segment, start)
