"""Classification of new recordings: one row a window, with probabilities, as CSV or Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nearfar_har.model import HarModel
from nearfar_har.windows import Windows
from nearfar_kit.frames import check_ending, write_frame

__all__ = ["classify", "write_labels"]


def classify(model: HarModel, windows: Windows) -> pl.DataFrame:
    """Per window: subject, start and end (s), activity, its probability, devices that spoke, and
    the probability of every activity. Windows in which no known device was present are left out.
    """
    probabilities, spoke = model.probabilities(windows)
    heard = np.flatnonzero(spoke > 0)
    p = probabilities[heard]
    best = p.argmax(1)
    start = windows.time[heard]
    return pl.DataFrame(
        {
            "subject": [windows.subjects[s] for s in windows.subject[heard]],
            "start": start,
            "end": start + model.seconds,
            "activity": [model.activities[b] for b in best],
            "probability": p[np.arange(len(p)), best].round(4),
            "devices": spoke[heard],
        }
        | {f"p_{name}": p[:, number].round(4) for number, name in enumerate(model.activities)}
    )


def write_labels(frame: pl.DataFrame, path: Path) -> None:
    """Writes a .csv or .parquet file, whole or not at all."""
    check_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frame(frame, path)
