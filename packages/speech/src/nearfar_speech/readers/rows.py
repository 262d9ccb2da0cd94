"""Rows of CSV, JSON and JSON-lines files, with their places for error messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_kit.json_files import parse_json

__all__ = ["Row", "csv_rows", "json_lines", "text_of"]

Row = tuple[str, dict[str, Any]]  # "file, row 3" and its fields
_FIELD_LIMIT = 1 << 20  # characters; an unclosed quote would swallow the file


def csv_rows(path: Path, needed: Sequence[str] = ()) -> Iterator[Row]:
    """Each row of a CSV with a header line; fields are parted by commas, or by semicolons or tabs
    where these part the header.

    Raises:
        UserError: no header, a column of ``needed`` is not in it, a row of another length, a broken
            quote, no UTF-8.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    text = _text(path)
    lines = csv.reader(text.splitlines(keepends=True), delimiter=_parted_by(text), strict=True)
    header: list[str] | None = None
    try:
        for fields in lines:
            where = f"{path}, line {lines.line_num}"
            if not fields:
                continue
            if header is None:
                header = [name.strip() for name in fields]
                _check_header(path, header, needed)
            elif len(fields) != len(header):
                raise UserError(f"{where}: {len(fields)} fields; expected {len(header)}")
            else:
                yield where, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}, line {lines.line_num}: is no valid CSV ({error})") from None
    if header is None:
        raise UserError(f"{path}: is empty; expected a header and rows")


def _parted_by(text: str) -> str:
    """What parts the header's fields: a spreadsheet in Europe writes semicolons."""
    header = text.lstrip("\r\n").partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in header), ",")


def _check_header(path: Path, header: list[str], needed: Sequence[str]) -> None:
    for name in needed:
        if name not in header:
            raise UserError(f"{path}: no column {name!r}; the file has {', '.join(header)}")
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path}: two columns are named {twice!r}; expected different names")


def json_lines(path: Path) -> Iterator[Row]:
    """Each line's object of a .jsonl file; UserError names the line."""
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            row = parse_json(line, where)
            if not isinstance(row, dict):
                raise UserError(f"{where}: holds a {type(row).__name__}; expected an object")
            yield where, row


def text_of(row: dict[str, Any], name: str, where: str, needed: bool = True) -> str:
    """A field as text without outer blanks; UserError where it is absent, empty or no text."""
    value = row.get(name, "")
    if value is None:
        value = ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{where}: {name} is a {type(value).__name__}; expected text")
    text = str(value).strip()
    if needed and not text:
        raise UserError(f"{where}: {name} is absent or empty; expected text")
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is no UTF-8 text; expected labels") from None
