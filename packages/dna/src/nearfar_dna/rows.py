"""Rows of a TSV or CSV without quotes."""

from __future__ import annotations

from pathlib import Path

from nearfar_kit.text_files import read_text

__all__ = ["is_number", "read_rows"]


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, numbered from 1, of a file of tabs or else commas.

    Raises:
        UserError: the file cannot be read.
    """
    lines = read_text(path, "rows of an id and what is said of it").splitlines()
    return [
        (number, [field.strip() for field in line.split("\t" if "\t" in line else ",")])
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def is_number(text: str) -> bool:
    """Whether ``text`` is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
