"""Tables and vectors of files, with one clear line for each mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nearfar_bundle.catalogue import Floats, Ints
from nearfar_kit.arrays import check_names, read_array, read_tensor
from nearfar_kit.errors import UserError, first_line
from nearfar_kit.frames import as_text, read_frame
from nearfar_kit.text_files import read_text

__all__ = ["check_highest", "id_pairs", "is_number", "read_vectors", "text_columns"]

LEAST = 2**20  # items, bundles or users that any file may number


def text_columns(frame: pl.DataFrame, path: Path, *columns: str) -> pl.DataFrame:
    """Those columns as text, the first an id in every row.

    Raises:
        UserError: a column is missing, an id is empty.
    """
    found = as_text(frame, path, *columns).select(pl.all().str.strip_chars())
    empty = found[columns[0]].is_null() | (found[columns[0]] == "")
    if empty.any():
        row = int(empty.arg_true()[0]) + 1
        raise UserError(f"{path}, row {row}: {columns[0]} is empty; expected an id")
    check_names(found[columns[0]].unique().to_list(), path)
    return found


def is_number(word: str) -> bool:
    """Whether digits tell a number that an array can hold."""
    return word.isdecimal() and len(word) < 19


def check_highest(path: Path, highest: int, size: int) -> None:
    """Refuses a number of an item, a bundle or a user that so many bytes cannot mean.

    Memory is taken for all below it.

    Args:
        size: bytes of all that tells of them.

    Raises:
        UserError: it is far beyond what could be told.
    """
    if highest >= max(LEAST, size):
        raise UserError(
            f"{path}: counts up to {highest} in {size} bytes; expected numbers from 0 on, without "
            "great gaps"
        )


def id_pairs(path: Path) -> Ints:
    """[n, 2] of a text file with two numbers a line, parted by blanks or tabs.

    Raises:
        UserError: a line holds something else, and is named; a number is beyond all others.
    """
    found = []
    for number, line in enumerate(read_text(path, "two numbers a line").splitlines(), 1):
        words = line.split()
        if len(words) != 2 or not all(map(is_number, words)):
            raise UserError(f"{path}, line {number}: is {line[:40]!r}; expected two numbers")
        found.append((int(words[0]), int(words[1])))
    pairs = np.array(found, np.int64).reshape(-1, 2)
    check_highest(path, int(pairs.max(initial=0)), path.stat().st_size)
    return pairs


def read_vectors(path: Path) -> Floats:
    """[rows, D] of ``.npy``, ``.pt`` (one tensor) or Parquet (all columns numbers).

    A row of NaN is a missing vector; a row of which some are NaN is a mistake.

    Raises:
        UserError: it is none of these; a row is partly NaN, or not finite.
    """
    try:
        if path.suffix.lower() == ".npy":
            found = read_array(path)
        elif path.suffix.lower() == ".pt":
            found = read_tensor(path).numpy()
        else:
            found = read_frame(path).to_numpy()
        rows = np.asarray(found, dtype=np.float32)
    except (ValueError, TypeError, RuntimeError) as error:  # text, complex numbers, gradients
        reason = first_line(error)
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
