"""A table as it came: its rows, its name, its kind, and what had to be mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

__all__ = ["Kind", "SourceTable"]

Kind = Literal["csv", "parquet", "arrow", "pandas", "polars", "duckdb"]


@dataclass(frozen=True)
class SourceTable:
    """One input table.

    Attributes:
        name: of the file without its ending, or as the caller calls it.
        frame: rows in the order of the input; names of columns differ.
        kind: what it came as, and what results go out as.
        mended: one line for each repair that reading took, with its place.
    """

    name: str
    frame: pl.DataFrame
    kind: Kind
    mended: tuple[str, ...] = ()
