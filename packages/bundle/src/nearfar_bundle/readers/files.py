"""Tables and vectors of files, with one clear line for each mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nearfar_bundle.catalogue import Floats, Ints
from nearfar_kit.errors import UserError

__all__ = ["id_pairs", "read_vectors", "text_columns"]


def text_columns(frame: pl.DataFrame, path: Path, *columns: str) -> pl.DataFrame:
    """Those columns as text, the first an id in every row.

    Raises:
        UserError: a column is missing, an id is empty.
    """
    for name in columns:
        if name not in frame.columns:
            raise UserError(
                f"{path}: has no column {name!r}; expected {', '.join(columns)}, found "
                f"{', '.join(frame.columns)}"
            )
    found = frame.select(pl.col(*columns).cast(pl.String).str.strip_chars())
    empty = found[columns[0]].is_null() | (found[columns[0]] == "")
    if empty.any():
        row = int(empty.arg_true()[0]) + 1
        raise UserError(f"{path}, row {row}: {columns[0]} is empty; expected an id")
    return found


def id_pairs(path: Path) -> Ints:
    """[n, 2] of a text file with two numbers a line, parted by blanks or tabs.

    Raises:
        UserError: a line holds something else; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            raise UserError(f"{path}, line {number}: is {line[:40]!r}; expected two numbers")
        found.append((int(words[0]), int(words[1])))
    return np.array(found, np.int64).reshape(-1, 2)


def read_vectors(path: Path) -> Floats:
    """[rows, D] of ``.npy``, ``.pt`` (one tensor) or Parquet (all columns numbers).

    A row of NaN is a missing vector; a row of which some are NaN is a mistake.

    Raises:
        UserError: it is none of these; a row is partly NaN, or not finite.
    """
    try:
        if path.suffix == ".npy":
            found = np.load(path, allow_pickle=False)
        elif path.suffix == ".pt":
            import torch

            found = torch.load(path, map_location="cpu", weights_only=True).numpy()
        else:
            found = pl.read_parquet(path).to_numpy()
        rows = np.asarray(found, dtype=np.float32)
    except Exception as error:  # each format has exceptions of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: holds no vectors ({reason}); expected [items, D]") from None
    if rows.ndim != 2:
        raise UserError(f"{path}: has shape {rows.shape}; expected [items, D]")
    bad = np.isnan(rows)
    wrong = np.flatnonzero((bad.any(1) & ~bad.all(1)) | np.isinf(rows).any(1))
    if len(wrong):
        raise UserError(
            f"{path}, row {wrong[0]}: holds NaN or infinity beside numbers; expected numbers, or "
            "NaN alone for an item without a vector"
        )
    return rows
