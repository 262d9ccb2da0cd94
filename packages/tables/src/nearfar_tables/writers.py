"""Tables out: the kind that came in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError
from nearfar_tables.source import Kind

__all__ = ["as_kind", "formula_safe", "write"]

# What spreadsheets take for a formula. A number may begin with a sign.
FORMULA = r"^[=+\-@\t\r]"
NUMBER = r"^[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def as_kind(frame: pl.DataFrame, kind: Kind) -> Any:
    """The frame as users of that kind hold it; files' rows come as a polars frame."""
    if kind == "pandas":
        return frame.to_pandas()
    if kind == "arrow":
        return frame.to_arrow()
    if kind == "duckdb":
        return duckdb.from_arrow(frame.to_arrow())
    return frame


def formula_safe(frame: pl.DataFrame) -> pl.DataFrame:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it (OWASP).

    Numbers, ``-5`` or ``+1.2e3``, stay as they are.
    """
    text = pl.col(pl.String)
    risky = text.str.contains(FORMULA) & ~text.str.contains(NUMBER)
    safe = frame.with_columns(pl.when(risky).then(pl.lit("'") + text).otherwise(text).name.keep())
    return safe.rename(
        {n: f"'{n}" for n in safe.columns if re.search(FORMULA, n) and not re.search(NUMBER, n)}
    )


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
