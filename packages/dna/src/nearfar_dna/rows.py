"""Rows of a TSV or CSV without quotes."""

from __future__ import annotations

import re
from pathlib import Path

from nearfar_kit.frames import DECIMAL_COMMA
from nearfar_kit.text_files import read_text

__all__ = ["is_number", "read_rows"]


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, numbered from 1, of a file of tabs, commas or semicolons.

    Of the last two that is meant which comes first in the first row; beside semicolons, decimal
    commas of numbers become points.

    Raises:
        UserError: the file cannot be read.
    """
    lines = read_text(path, "rows of an id and what is said of it").splitlines()
    mark = next((found[0] for line in lines if (found := re.search("[,;]", line))), ",")
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            own = "\t" if "\t" in line else mark
            fields = [field.strip() for field in line.split(own)]
            rows.append(
                (number, [_with_point(field) for field in fields] if own == ";" else fields)
            )
    return rows


def _with_point(field: str) -> str:
    return field.replace(",", ".") if re.match(DECIMAL_COMMA, field) else field


def is_number(text: str) -> bool:
    """Whether ``text`` is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
