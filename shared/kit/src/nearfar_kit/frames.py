"""Frames that a user has or is given, text or Parquet by the name, its ending in any case."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError, first_line
from nearfar_kit.panics import panics_told
from nearfar_kit.printable import printable_lines
from nearfar_kit.spreadsheet import formula_safe

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "as_text", "check_ending", "check_name", "check_size", "check_text", "print_frame",
    "read_frame", "write_frame",
]  # fmt: skip

# A number of those who write 1,5 for one and a half, and part columns by semicolons.
DECIMAL_COMMA = r"^[+-]?\d*(,\d+)?([eE][+-]?\d+)?$"
# What gzip, zlib and zstd begin with: polars would unpack them, to whatever size.
PACKED = (b"\x1f\x8b", b"x\x01", b"x\x9c", b"x\xda", b"\x28\xb5\x2f\xfd")
# Cells that any file may have, and how many a byte of it: runs of one value take no room, and would
# be unpacked to gigabytes.
LEAST_CELLS = 2**27
CELLS_A_BYTE = 100


def read_frame(
    path: Path, *, separator: str | None = None, quote: str | None = '"'
) -> pl.DataFrame:
    """A table of a ``.csv``, ``.tsv`` or ``.parquet``; of text files every column is text.

    CSV is UTF-8, its columns parted by commas, semicolons or tabs, whichever its first line has
    most of; beside semicolons, decimal commas become points.

    Args:
        separator: what parts the columns of text, whatever the name; None: found.
        quote: what stands about cells that hold one; None: nothing does.

    Raises:
        UserError: it is not there, empty, or no such table.
    """
    import polars as pl

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            with panics_told(f"{path}: cannot be read as parquet; it is damaged"):
                check_size(path, pl.scan_parquet(path, glob=False))  # a name may hold "[1]"
                return pl.read_parquet(path, glob=False)
        separator = _separator(path, separator)
        frame = pl.read_csv(
            path, separator=separator, infer_schema=False, quote_char=quote, glob=False
        )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a CSV or Parquet table") from None
    except pl.exceptions.NoDataError:
        raise UserError(f"{path}: is empty; expected a header and rows") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8; expected a table saved as such") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        first = first_line(error)
        if "utf-8" in first.lower():
            first = "not UTF-8"
        kind = path.suffix[1:] or "a table"
        raise UserError(f"{path}: cannot be read as {kind} ({first})") from None
    return _with_points(frame) if separator == ";" else frame


def as_text(frame: pl.DataFrame, path: Path, *columns: str) -> pl.DataFrame:
    """Those columns as text.

    Args:
        path: where the frame is from, for the error.

    Raises:
        UserError: a column is missing, or holds what is no text: lists, bytes.
    """
    import polars as pl

    for name in columns:
        if name not in frame.columns:
            raise UserError(
                f"{path}: has no column {name!r}; expected {', '.join(columns)}, found "
                f"{', '.join(frame.columns)}"
            )
        if frame.schema[name].is_nested() or frame.schema[name] == pl.Binary:
            raise UserError(f"{path}: {name} is of type {frame.schema[name]}; expected text")
    return frame.select(pl.col(*columns).cast(pl.String))


def check_size(path: Path, frame: pl.LazyFrame) -> None:
    """Refuses a Parquet or Arrow file whose rows are more than its bytes can mean.

    Args:
        frame: the file, scanned.

    Raises:
        UserError: it unpacks to more cells than its size lets expect.
    """
    import polars as pl

    cells = frame.select(pl.len()).collect().item() * len(frame.collect_schema())
    if cells > max(LEAST_CELLS, CELLS_A_BYTE * path.stat().st_size):
        raise UserError(f"{path}: unpacks to {cells} cells from a small file; refused")


def check_text(content: bytes, where: str) -> None:
    """Refuses what is packed, where a text table is expected.

    Args:
        content: the file, or its beginning.
        where: its name, for the error.

    Raises:
        UserError: it is packed.
    """
    if content.startswith(PACKED):
        raise UserError(f"{where}: is compressed; expected the text itself")


def _separator(path: Path, given: str | None) -> str:
    with path.open("rb") as file:
        first = file.readline(1 << 20)
    check_text(first, str(path))
    header = first.decode()
    if given is not None:
        return given
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",", ";", "\t", key=header.count)


def _with_points(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    own = []
    for name in frame.columns:
        column = frame[name].str.strip_chars()
        numbers = column.str.contains(DECIMAL_COMMA).all()
        if numbers and column.str.contains(",", literal=True).any():
            own.append(pl.col(name).str.strip_chars().str.replace(",", ".", literal=True))
    return frame.with_columns(own)


def print_frame(frame: pl.DataFrame) -> None:
    """Prints it as CSV that is safe to open in a spreadsheet, and to see on a terminal."""
    text = formula_safe(frame).write_csv()
    if sys.stdout.isatty():
        text = printable_lines(text)
    sys.stdout.write(text)


def check_ending(path: Path) -> None:
    """Raises UserError where the name does not tell which format is wanted."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"--out {path}: expected a name that ends in .csv or .parquet")


def check_name(path: Path) -> None:
    """Raises UserError where a frame cannot be written under that name."""
    check_ending(path)
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: {path.parent} is no folder")


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Writes .csv, safe to open in a spreadsheet, or .parquet, whole or not at all."""
    with replacing(path) as beside:
        if path.suffix.lower() == ".csv":
            formula_safe(frame).write_csv(beside)
        else:
            frame.write_parquet(beside)
