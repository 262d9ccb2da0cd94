"""Times of interactions as numbers: themselves, or seconds since 1970 of dates.

Of dates that begin with day and month, as 24/07/2024 and 07/24/2024, the whole column decides: the
order that reads every row is taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError

__all__ = ["First", "seconds_of"]

First = Literal["day", "month"]

EXPECTED = (
    "a number, or a date and perhaps a time: 2024-07-24, 2024-07-24T18:05:00Z, 24/07/2024 18:05 or "
    "07/24/2024 6:05 PM, of one order throughout"
)
# Two numbers, a year, and perhaps a time of day with or without seconds, of 24 hours or of 12.
SHORT = (
    r"^(?P<one>\d{1,2})[/.-](?P<two>\d{1,2})[/.-](?P<year>\d{4})"
    r"(?:[T ]+(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d(?:\.\d+)?))?"
    r"\s*(?P<half>[AaPp][Mm])?)?$"
)


def seconds_of(
    path: Path, column: pl.Series, first: First | None = None
) -> tuple[NDArray[np.float64], list[str]]:
    """Times [N] of a column, and a note where both orders of day and month would do.

    Args:
        path: where it is from, for errors and notes.
        first: day or month, which of them dates begin with; None: found, day where both would do.

    Raises:
        UserError: one is no time; dates are of two orders.
    """
    if first not in (None, *get_args(First)):
        raise UserError(f"{path}: first is {first!r}; expected one of {', '.join(get_args(First))}")
    kind = column.dtype
    notes: list[str] = []
    if kind.is_nested() or kind in (pl.Binary, pl.Duration, pl.Time):
        raise UserError(f"{path}: {column.name} is of type {kind}; expected numbers or dates")
    if kind == pl.String:
        numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
        if numbers.null_count():
            numbers, notes = _dates(path, column.str.strip_chars(), numbers, first)
    elif kind.is_temporal():
        numbers = column.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
    else:
        numbers = column.cast(pl.Float64)
    wrong = numbers.is_null() | ~numbers.is_finite().fill_null(False)
    if wrong.any():
        row = int(wrong.arg_true()[0]) + 1
        raise UserError(
            f"{path}, row {row}: {column.name} is {column[row - 1]!r}; expected {EXPECTED}"
        )
    return numbers.to_numpy(), notes


def _dates(
    path: Path, column: pl.Series, numbers: pl.Series, first: First | None
) -> tuple[pl.Series, list[str]]:
    """Seconds of a column of which not all are numbers, null where one is no date."""
    if not column.str.contains(SHORT).any():
        dates = column.str.to_datetime(strict=False, time_zone="UTC", ambiguous="earliest")
        return (numbers if dates.null_count() == len(dates) else dates.dt.epoch("us") / 1e6), []
    if first is not None:
        return _short(column, first), []
    day, month = _short(column, "day"), _short(column, "month")
    if month.null_count() < day.null_count():
        return month, []
    if day.null_count() or month.null_count() or day.equals(month):
        return day, []
    example = column[int((day != month).arg_true()[0])]
    return day, [
        f"{path}: {column.name} such as {example} may begin with the day or the month in every row;"
        " read as the day first (--read first=month, or first=day, says which)"
    ]


def _short(column: pl.Series, first: First) -> pl.Series:
    """Seconds of dates that begin with day and month, null where one is no such date."""
    part = pl.col("part")
    day, month = ("one", "two") if first == "day" else ("two", "one")

    def number(name: str) -> pl.Expr:
        return part.struct.field(name).cast(pl.Float64)

    def text(name: str) -> pl.Expr:
        return part.struct.field(name).str.zfill(2)

    written = pl.concat_str(text("year"), text(month), text(day), separator="-")
    date = written.str.to_date("%Y-%m-%d", strict=False).dt.epoch("s")
    half = part.struct.field("half").str.to_lowercase()
    hour = number("hour").fill_null(0)
    # 12 AM is midnight, 12 PM noon.
    hour = pl.when(half.is_null()).then(hour).otherwise(hour % 12 + 12 * (half == "pm"))
    clock = number("hour").fill_null(0).is_between(0, 23) & (
        half.is_null() | number("hour").is_between(1, 12)
    )
    within = 60 * number("minute").fill_null(0) + number("second").fill_null(0)
    return (
        pl.DataFrame({"part": column.str.extract_groups(SHORT)})
        .select(pl.when(clock).then(date + 3600 * hour + within))
        .to_series()
    )
