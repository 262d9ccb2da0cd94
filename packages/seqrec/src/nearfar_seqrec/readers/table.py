"""CSV, TSV or Parquet with a row an interaction: user, item, time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nearfar_kit.arrays import names_array
from nearfar_kit.errors import UserError
from nearfar_kit.frames import as_text, read_frame
from nearfar_seqrec.readers.times import First, seconds_of
from nearfar_seqrec.sequences import Sequences

__all__ = ["from_frame", "read_table"]


def read_table(
    path: Path, user: str = "user", item: str = "item", time: str = "time",
    first: First | None = None,
) -> Sequences:  # fmt: skip
    """Rows in any order; those of one moment keep theirs.

    Args:
        user, item, time: names of the columns; time is a number or a date and time.
        first: day or month, which of them dates as 07/08/2024 begin with; None: as
            :func:`nearfar_seqrec.readers.times.seconds_of` finds it.

    Raises:
        UserError: a column is missing, an id is empty, a time is none.
    """
    return from_frame(path, read_frame(path), user, item, time, first)


def from_frame(
    path: Path, frame: pl.DataFrame, user: str, item: str, time: str, first: First | None = None
) -> Sequences:
    """Sequences from a table; ``path`` is for errors, whose rows count from 1 under the header.

    Raises:
        UserError: a column is missing, an id is empty, a time is none, there are no rows.
    """
    for name in (user, item, time):
        if name not in frame.columns:
            raise UserError(
                f"{path}: has no column {name}; expected {user}, {item} and {time}, found "
                f"{', '.join(frame.columns)}"
            )
    if not len(frame):
        raise UserError(f"{path}: has no rows; expected interactions")
    ids = as_text(frame, path, *dict.fromkeys((user, item)))
    for name in (user, item):
        empty = ids[name].is_null() | (ids[name].str.strip_chars() == "")
        if empty.any():
            raise UserError(f"{path}, row {_first(empty)}: {name} is empty; expected an id")
    when, notes = seconds_of(path, frame[time], first)
    users, user_row = _numbered(path, ids[user])
    items, item_row = _numbered(path, ids[item])
    order = np.lexsort([when, user_row])  # stable: one moment's rows stay as they come
    by_user = user_row.argsort(kind="stable")
    back = int(((np.diff(when[by_user]) < 0) & (np.diff(user_row[by_user]) == 0)).sum())
    if back:
        notes.append(
            f"{path}: {back} rows are older than the same user's row before; sorted by {time}"
        )
    return Sequences(
        users,
        items,
        item_row[order].astype(np.int64) + 1,
        np.concatenate([[0], np.cumsum(np.bincount(user_row))]).astype(np.int64),
        when[order],
        tuple(notes),
    )


def _numbered(path: Path, column: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """The names that a column holds, in order, and the place of each row's among them."""
    found, place = np.unique(names_array(column.to_list(), path), return_inverse=True)
    return found, place


def _first(mask: pl.Series) -> int:
    return int(mask.arg_true()[0]) + 1
