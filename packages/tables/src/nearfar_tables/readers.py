"""Tables in: files by their ending, and the frames that Python users hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from nearfar_kit.errors import UserError, first_line
from nearfar_kit.frames import CELLS_A_BYTE, LEAST_CELLS, check_size
from nearfar_kit.gzip_files import LEAST, RATIO
from nearfar_kit.panics import panics_told
from nearfar_tables.dirty_csv import read_csv
from nearfar_tables.source import SourceTable

__all__ = ["read", "read_all", "read_typed"]

ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".arrow", ".feather")
NAMED = 5  # files that a note names


def read(table: Any, name: str = "table") -> SourceTable:
    """One table of any kind.

    Args:
        table: a path (CSV, TSV, either in gzip, Parquet, Arrow IPC), a pandas or polars frame, an
            Arrow table, a DuckDB relation, or a :class:`SourceTable`.
        name: of a table that is no file.

    Raises:
        UserError: it is none of these, the file is damaged, or columns share a name.
    """
    if isinstance(table, SourceTable):
        return table
    if isinstance(table, str | Path):
        return _read_file(Path(table))
    if isinstance(table, pl.DataFrame):
        return SourceTable(name, table, "polars")
    if isinstance(table, pd.DataFrame):
        return SourceTable(name, _from_pandas(table, name), "pandas")
    if isinstance(table, pa.Table):
        return SourceTable(name, _from_arrow(table, name), "arrow")
    if isinstance(table, duckdb.DuckDBPyRelation):
        return SourceTable(name, _from_arrow(table.to_arrow_table(), name), "duckdb")
    raise UserError(
        f"{name}: is a {type(table).__name__}; expected a path, a pandas or polars frame, an Arrow "
        "table or a DuckDB relation"
    )


def read_all(tables: Any) -> list[SourceTable]:
    """Several tables: a folder, a list of tables, or a mapping of names to tables.

    What of a folder is not read is told in the first table's ``mended``: files of other endings,
    folders in it that hold tables.

    Raises:
        UserError: there is none, or two share a name.
    """
    if isinstance(tables, str | Path) and Path(tables).is_dir():
        files, passed = _in_folder(Path(tables))
        if not files:
            told = "".join(f" ({note})" for note in passed)
            raise UserError(f"{tables}: holds no table; expected files {', '.join(ENDINGS)}{told}")
        found = [read(path) for path in files]
        found[0] = replace(found[0], mended=(*passed, *found[0].mended))
    elif isinstance(tables, Mapping):
        found = [
            SourceTable(str(name), own.frame, own.kind, own.mended)
            for name, table in tables.items()
            for own in [read(table, str(name))]
        ]
    elif isinstance(tables, Sequence) and not isinstance(tables, str):
        found = [read(table, f"table_{n}") for n, table in enumerate(tables, start=1)]
    else:
        found = [read(tables)]
    if not found:
        raise UserError("no table is given; expected one or more")
    names = [source.name for source in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two tables are named {twice!r}; expected different names")
    return found


def _in_folder(folder: Path) -> tuple[list[Path], list[str]]:
    """The tables of a folder, and a line each on files and on folders that are passed over."""
    tables: list[Path] = []
    others: list[Path] = []
    deeper: list[Path] = []
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        if not path.is_dir():
            (tables if _is_table(path) else others).append(path)
        elif any(map(_is_table, path.rglob("*"))):
            deeper.append(path)
    notes = []
    if others:
        notes.append(f"{folder}: not read: {_listed(others)}; tables end in {', '.join(ENDINGS)}")
    if deeper:
        notes.append(
            f"{folder}: not read: the tables in {_listed(deeper)}; expected all in one folder"
        )
    return tables, notes


def _is_table(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS)


def _listed(paths: Sequence[Path]) -> str:
    """``a, b``, or ``a, b and 3 more``."""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(path.name for path in paths[:NAMED]) + more


def _read_file(path: Path) -> SourceTable:
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a table {', '.join(ENDINGS)}")
    if not _is_table(path):
        raise UserError(f"{path}: ends in {path.suffix!r}; expected {', '.join(ENDINGS)}")
    ending = path.suffix.lower()
    if ending not in (".parquet", ".arrow", ".feather"):
        return read_csv(path)
    return SourceTable(path.stem, read_typed(path), "parquet" if ending == ".parquet" else "arrow")


def read_typed(path: Path) -> pl.DataFrame:
    """A Parquet or Arrow IPC file.

    Raises:
        UserError: it is none, is damaged, or unpacks to more than its size lets expect.
    """
    kind = path.suffix[1:].lower()
    parquet = kind == "parquet"
    try:
        with panics_told(f"{path}: is no {kind} file (it is damaged)"):
            check_size(path, pl.scan_parquet(path) if parquet else pl.scan_ipc(path))
            if parquet:
                _check_pages(path)
            frame = pl.read_parquet(path) if parquet else pl.read_ipc(path)
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
        reason = first_line(error)
        raise UserError(f"{path}: is no {kind} file ({reason})") from None
    # A long text that stands in many rows lies there once; as text it would be as many.
    _check(path, sum(map(_letters, frame)), "bytes", LEAST, RATIO)
    return frame


def _check_pages(path: Path) -> None:
    """Of lists there may be more values than rows, and values may be long."""
    about = pq.read_metadata(path)
    groups = [about.row_group(n) for n in range(about.num_row_groups)]
    parts = [group.column(n) for group in groups for n in range(group.num_columns)]
    values = sum(part.num_values for part in parts)
    _check(path, values, "values", LEAST_CELLS, CELLS_A_BYTE)
    _check(path, sum(part.total_uncompressed_size for part in parts), "bytes", LEAST, RATIO)


def _letters(column: pl.Series) -> int:
    """Bytes of a column's texts, each as often as it stands there."""
    dtype = column.dtype
    if dtype == pl.String:
        sizes = column.str.len_bytes()
    elif dtype in (pl.Categorical, pl.Enum):
        sizes = column.cat.len_bytes()
    elif dtype == pl.Binary:
        sizes = column.bin.size()
    elif isinstance(dtype, pl.List | pl.Array):
        return _letters(column.explode())
    elif isinstance(dtype, pl.Struct):
        return sum(map(_letters, column.struct.unnest()))
    else:
        return 0
    return int(sizes.cast(pl.UInt64).sum())


def _check(path: Path, size: int, what: str, least: int, a_byte: int) -> None:
    if size > max(least, a_byte * path.stat().st_size):
        raise UserError(f"{path}: unpacks to {size} {what} from a small file; refused")


def _from_pandas(table: pd.DataFrame, name: str) -> pl.DataFrame:
    _check_names([str(column) for column in table.columns], name)
    named = table.set_axis([str(column) for column in table.columns], axis=1)
    try:
        return pl.from_pandas(named)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Object columns of mixed values, as 1 beside "one": their text is what they share.
        mixed = named.select_dtypes("object").columns
        text = {column: named[column].map(str, na_action="ignore") for column in mixed}
        return pl.from_pandas(named.assign(**text))


def _from_arrow(table: pa.Table, name: str) -> pl.DataFrame:
    _check_names(table.column_names, name)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _check_names(names: Sequence[str], where: str) -> None:
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{where}: two columns are named {twice!r}; expected different names")
