"""CSV, TSV or Parquet with a row an interaction: user, item, time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nearfar_kit.arrays import names_array
from nearfar_kit.errors import UserError
from nearfar_kit.frames import as_text, read_frame
from nearfar_seqrec.sequences import Sequences

__all__ = ["from_frame", "read_table", "seconds_of"]


def read_table(path: Path, user: str = "user", item: str = "item", time: str = "time") -> Sequences:
    """Rows in any order; those of one moment keep theirs.

    Args:
        user, item, time: names of the columns; time is a number or a date and time.

    Raises:
        UserError: a column is missing, an id is empty, a time is none.
    """
    return from_frame(path, read_frame(path), user, item, time)


def from_frame(path: Path, frame: pl.DataFrame, user: str, item: str, time: str) -> Sequences:
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
    when = seconds_of(path, frame[time])
    users, user_row = _numbered(path, ids[user])
    items, item_row = _numbered(path, ids[item])
    order = np.lexsort([when, user_row])  # stable: one moment's rows stay as they come
    by_user = user_row.argsort(kind="stable")
    back = int(((np.diff(when[by_user]) < 0) & (np.diff(user_row[by_user]) == 0)).sum())
    note = f"{path}: {back} rows are older than the same user's row before; sorted by {time}"
    return Sequences(
        users,
        items,
        item_row[order].astype(np.int64) + 1,
        np.concatenate([[0], np.cumsum(np.bincount(user_row))]).astype(np.int64),
        when[order],
        (note,) if back else (),
    )


def _numbered(path: Path, column: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """The names that a column holds, in order, and the place of each row's among them."""
    found, place = np.unique(names_array(column.to_list(), path), return_inverse=True)
    return found, place


def seconds_of(path: Path, column: pl.Series) -> np.ndarray:
    """Times [N] as numbers: themselves, or seconds since 1970 of dates.

    Raises:
        UserError: one is none.
    """
    kind = column.dtype
    if kind.is_nested() or kind in (pl.Binary, pl.Duration, pl.Time):
        raise UserError(f"{path}: {column.name} is of type {kind}; expected numbers or dates")
    if kind == pl.String:
        numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
        if numbers.null_count():
            dates = column.str.to_datetime(strict=False, time_zone="UTC", ambiguous="earliest")
            numbers = dates.dt.epoch("us") / 1e6 if dates.null_count() < len(dates) else numbers
    elif kind.is_temporal():
        numbers = column.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
    else:
        numbers = column.cast(pl.Float64)
    wrong = numbers.is_null() | ~numbers.is_finite().fill_null(False)
    if wrong.any():
        row = _first(wrong)
        raise UserError(
            f"{path}, row {row}: {column.name} is {column[row - 1]!r}; expected a number, or a "
            "date and time"
        )
    return numbers.to_numpy()


def _first(mask: pl.Series) -> int:
    return int(mask.arg_true()[0]) + 1
