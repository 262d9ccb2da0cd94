"""The outer union: all rows of all tables under the columns of all, and where each came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from nearfar_tables.alignment import Alignment
from nearfar_tables.cells import texts_of
from nearfar_tables.source import SourceTable

__all__ = ["OuterUnion", "outer_union"]


@dataclass(frozen=True)
class OuterUnion:
    """Rows of several tables under one header.

    Attributes:
        frame: [N, columns]; NULL where a table lacks the column.
        rows: [N], ``table`` and ``row`` (from 0, in that table): the id of each row of ``frame``.
    """

    frame: pl.DataFrame
    rows: pl.DataFrame


def outer_union(sources: Sequence[SourceTable], alignment: Alignment) -> OuterUnion:
    """All rows, in the order of the tables. Types that differ become their common one, or text."""
    parts, rows = [], []
    for source in sources:
        height = source.frame.height
        parts.append(source.frame.rename(alignment[source.name]))
        rows.append(
            pl.DataFrame(
                {
                    "table": pl.repeat(source.name, height, dtype=pl.String, eager=True),
                    "row": pl.int_range(height, dtype=pl.Int64, eager=True),
                }
            )
        )
    try:
        frame = pl.concat(parts, how="diagonal_relaxed")
    except (pl.exceptions.PolarsError, NotImplementedError):
        frame = pl.concat(_disputed_as_text(parts), how="diagonal_relaxed")
    return OuterUnion(frame, pl.concat(rows))


def _disputed_as_text(parts: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    kinds: dict[str, set[str]] = {}
    for part in parts:
        for name, dtype in part.schema.items():
            kinds.setdefault(name, set()).add(str(dtype))
    disputed = {name for name, own in kinds.items() if len(own - {"Null"}) > 1}
    return [
        part.with_columns(texts_of(part[name]) for name in part.columns if name in disputed)
        for part in parts
    ]
