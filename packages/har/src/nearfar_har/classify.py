"""Classification of new recordings: one row a window, with probabilities, as CSV or Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nearfar_har.model import HarModel
from nearfar_har.windows import Windows
from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError
from nearfar_kit.spreadsheet import formula_safe

__all__ = ["check_name", "classify", "write_labels"]


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


def check_name(path: Path) -> None:
    """Raises UserError where :func:`write_labels` could not tell which format is wanted."""
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"--out {path}: expected a name that ends in .csv or .parquet")


def write_labels(frame: pl.DataFrame, path: Path) -> None:
    """Writes a .csv or .parquet file, whole or not at all."""
    check_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        if path.suffix == ".csv":
            formula_safe(frame).write_csv(beside)
        else:
            frame.write_parquet(beside)
