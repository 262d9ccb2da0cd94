"""Tables out: the kind that came in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError
from nearfar_kit.spreadsheet import formula_safe
from nearfar_tables.source import Kind

__all__ = ["as_kind", "write"]


def as_kind(frame: pl.DataFrame, kind: Kind) -> Any:
    """The frame as users of that kind hold it; files' rows come as a polars frame."""
    if kind == "pandas":
        return frame.to_pandas()
    if kind == "arrow":
        return frame.to_arrow()
    if kind == "duckdb":
        return duckdb.from_arrow(frame.to_arrow())
    return frame


def write(frame: pl.DataFrame, path: Path) -> None:
    """Writes ``.csv`` (safe to open in a spreadsheet), ``.parquet``, ``.arrow`` or ``.feather``.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    if path.suffix not in (".csv", ".parquet", ".arrow", ".feather"):
        raise UserError(f"{path}: ends in {path.suffix!r}; expected .csv, .parquet or .arrow")
    with replacing(path) as beside:
        if path.suffix == ".csv":
            nested = [
                pl.col(name).map_elements(lambda value: str(list(value)), return_dtype=pl.String)
                for name, dtype in frame.schema.items()
                if dtype.is_nested()
            ]
            formula_safe(frame.with_columns(nested)).write_csv(beside)
        elif path.suffix == ".parquet":
            frame.write_parquet(beside)
        else:
            frame.write_ipc(beside)
