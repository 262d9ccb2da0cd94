"""Frames that a command writes for its user, ``.csv`` or ``.parquet`` by the name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError
from nearfar_kit.spreadsheet import formula_safe

if TYPE_CHECKING:
    import polars as pl

__all__ = ["check_ending", "check_name", "write_frame"]


def check_ending(path: Path) -> None:
    """Raises UserError where the name does not tell which format is wanted."""
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"--out {path}: expected a name that ends in .csv or .parquet")


def check_name(path: Path) -> None:
    """Raises UserError where a frame cannot be written under that name."""
    check_ending(path)
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: {path.parent} is no folder")


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Writes .csv, safe to open in a spreadsheet, or .parquet, whole or not at all."""
    with replacing(path) as beside:
        if path.suffix == ".csv":
            formula_safe(frame).write_csv(beside)
        else:
            frame.write_parquet(beside)
