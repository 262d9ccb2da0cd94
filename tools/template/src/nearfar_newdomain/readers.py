"""Tables of measurements, CSV or Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nearfar_kit.errors import UserError
from nearfar_newdomain.measured import Measured

__all__ = ["read"]


def read(path: Path) -> Measured:
    """The measurements of a table with the columns ``thing``, perhaps ``label``, and numbers.

    Raises:
        UserError: no such file, no table, a column is absent or no number, a thing has one row.
    """
    if not path.exists():
        raise UserError(f"--data {path}: no such file or folder; expected a CSV or Parquet table")
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path}: is no table ({str(error).splitlines()[0]})") from None
    if "thing" not in frame.columns:
        raise UserError(f"{path}: has no column thing; expected one, found {frame.columns}")
    columns = tuple(name for name in frame.columns if name not in ("thing", "label"))
    if not columns:
        raise UserError(f"{path}: has no column of numbers; expected one or more")
    for name in columns:
        if not frame[name].dtype.is_numeric() or not frame[name].cast(float).is_finite().all():
            raise UserError(f"{path}: column {name} is no finite number everywhere")
        if frame[name].null_count():
            raise UserError(f"{path}: column {name} has empty cells; expected numbers")
    names, thing, count = np.unique(
        frame["thing"].cast(str).to_numpy(), return_inverse=True, return_counts=True
    )
    if count.min() < 2:
        raise UserError(f"{path}: thing {names[count.argmin()]} has one row; expected two or more")
    return Measured(frame.select(columns).to_numpy().astype(np.float32), thing, _labels(frame),
                    columns)  # fmt: skip


def _labels(frame: pl.DataFrame) -> np.ndarray:
    if "label" not in frame.columns:
        return np.full(len(frame), -1)
    label = frame["label"].cast(str)
    number = np.unique(label.drop_nulls().to_numpy(), return_inverse=True)[1]
    found = np.full(len(frame), -1)
    found[label.is_not_null().to_numpy()] = number
    return found
