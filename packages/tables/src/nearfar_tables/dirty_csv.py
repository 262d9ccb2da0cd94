"""CSV as it is found: any delimiter, encoding, ragged rows and repeated headers; nothing is lost.

Cells stay text as written ("007" keeps its zeros); an empty cell is NULL.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from nearfar_kit.errors import UserError
from nearfar_kit.gzip_files import unpack
from nearfar_tables.source import SourceTable

__all__ = ["distinct_names", "read_csv"]

DELIMITERS = ",;\t|"
CELL_LIMIT = 1 << 24  # characters: an unclosed quote would otherwise swallow a file of any size


# A short file may hold one long row, and be filled up to it in all others; rows take more memory
# than their text.
COLUMNS = 1 << 16
CELLS, CELLS_A_LETTER = 1 << 24, 20
UNPACKED = 1 << 24  # bytes, of a gzip file of any size


def read_csv(path: Path, needed: Sequence[str] = ()) -> SourceTable:
    """Reads ``.csv``, ``.tsv``, or either in gzip.

    UTF-8 and UTF-16 (by its mark) are read as such, all else as Windows-1252. A short row is
    filled with NULL, the fields a long one has too many go to columns ``extra``, ``extra_2``, ...;
    a repeated header gets a number, an absent one is called by its place. ``mended`` tells each.

    Args:
        needed: columns that it must have.

    Raises:
        UserError: no such file, no header, zero bytes in it, a cell beyond 16 Mi characters, a
            column less than needed, or rows of which one is long and most are short.
    """
    mended: list[str] = []
    text = _decoded(path, mended)
    rows, short, long = _rows(path, text)
    if not rows or not any(rows[0]):
        raise UserError(f"{path}: is empty; expected a header line")
    width = max(map(len, rows))
    if width > COLUMNS or width * len(rows) > max(CELLS, CELLS_A_LETTER * len(text)):
        raise UserError(
            f"{path}: has {len(rows)} rows, the longest of {width} columns; expected rows of alike "
            f"length, of {COLUMNS} columns at most"
        )
    header = distinct_names(rows[0], mended, f"{path}, line 1")
    extra = ["extra" if n == 0 else f"extra_{n + 1}" for n in range(width - len(header))]
    names = distinct_names([*header, *extra], [], "")
    for name in needed:
        if name not in names:
            raise UserError(f"{path}: no column {name!r}; it has {', '.join(names)}")
    for lines, what in (
        (short, "fewer fields than the header: the missing cells are empty"),
        (long, f"more fields than the header: they are kept in {', '.join(extra)}"),
    ):
        if lines:
            others = f", like {len(lines) - 1} more" if len(lines) > 1 else ""
            mended.append(f"{path}, line {lines[0]}: has {what}{others}")
    del rows[0]
    frame = pl.DataFrame(
        [
            pl.Series(
                name, [fields[n] or None if n < len(fields) else None for fields in rows], pl.String
            )
            for n, name in enumerate(names)
        ]
    )
    return SourceTable(path.name.split(".")[0], frame, "csv", tuple(mended))


def distinct_names(names: Sequence[str], mended: list[str], where: str) -> list[str]:
    """Each name once: the second ``city`` is ``city_2``; an empty one ``column_3``."""
    taken: set[str] = set()
    given = {name.strip() for name in names}
    last: dict[str, int] = {}  # of a name that is repeated
    found = []
    for place, raw in enumerate(names, start=1):
        name = raw.strip() or f"column_{place}"
        if name in taken:
            number = last.get(name, 1) + 1
            while f"{name}_{number}" in taken or f"{name}_{number}" in given:
                number += 1
            last[name] = number
            mended.append(f"{where}: two columns are named {name!r}: the second is {name}_{number}")
            name = f"{name}_{number}"
        elif not raw.strip():
            mended.append(f"{where}: column {place} has no name: it is {name}")
        taken.add(name)
        found.append(name)
    return found


def _decoded(path: Path, mended: list[str]) -> str:
    try:
        raw = unpack(path, least=UNPACKED) if path.suffix.lower() == ".gz" else path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
        if b"\0" in raw:
            raise UserError(f"{path}, byte {raw.index(0)}: a zero byte; expected text")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        name = "UTF-16" if encoding == "utf-16" else "UTF-8"
        mended.append(f"{path}, byte {error.start}: is not {name}; read as Windows-1252")
        return raw.decode("cp1252", errors="replace")


def _rows(path: Path, text: str) -> tuple[list[list[str]], list[int], list[int]]:
    """Fields of each row that is not blank, and the lines of those shorter and longer than the
    first."""
    csv.field_size_limit(CELL_LIMIT)
    head = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    short: list[int] = []
    long: list[int] = []
    try:
        for fields in filter(None, reader):
            rows.append(fields)
            if len(fields) != len(rows[0]):
                (short if len(fields) < len(rows[0]) else long).append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: is no CSV ({error})") from None
    return rows, short, long
