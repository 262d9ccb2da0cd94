"""Tables out: the kind that came in."""

from __future__ import annotations

import json
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
    """Writes ``.csv``, ``.parquet``, ``.arrow`` or ``.feather``.

    CSV is safe to open in a spreadsheet; lists stand in it as JSON.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet", ".arrow", ".feather"):
        raise UserError(f"{path}: ends in {path.suffix!r}; expected .csv, .parquet or .arrow")
    with replacing(path) as beside:
        if ending == ".csv":
            nested = [
                pl.col(name).map_elements(_as_json, return_dtype=pl.String)
                for name, dtype in frame.schema.items()
                if dtype.is_nested()
            ]
            formula_safe(frame.with_columns(nested)).write_csv(beside)
        elif ending == ".parquet":
            frame.write_parquet(beside)
        else:
            frame.write_ipc(beside)


def _as_json(value: Any) -> str:
    held = value.to_list() if isinstance(value, pl.Series) else value
    return json.dumps(held, ensure_ascii=False, default=str)
