"""Text tables of numbers: the plain rows in which most of the field's sets are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearfar_kit.errors import UserError

__all__ = ["numbers"]


def numbers(file: Path, columns: int, use: list[int]) -> np.ndarray:
    """float64 [rows, len(use)]: some of a file's ``columns`` separated by white space.

    Args:
        use: zero-based; "NaN" is a missing value.

    Raises:
        UserError: the file cannot be read, a row has another number of columns, or a field is no
            number; the row is named.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            first = next((line for line in lines if line.strip()), "")
        if not first:
            raise UserError(f"{file}: is empty; expected rows of {columns} numbers")
        if len(first.split()) != columns:
            raise UserError(f"{file}: row 1 has {len(first.split())} fields; expected {columns}")
        return np.loadtxt(file, usecols=use, ndmin=2, comments=None, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); expected rows of numbers") from error
    except ValueError as error:
        raise _named(file, columns) or UserError(f"{file}: {error}") from error


def _named(file: Path, columns: int) -> UserError | None:
    """The first faulty row, found slowly once the fast reader has given up."""
    with file.open(encoding="utf-8") as lines:
        for row, line in enumerate(lines, start=1):
            cells = line.split()
            if cells and len(cells) != columns:
                return UserError(f"{file}: row {row} has {len(cells)} fields; expected {columns}")
            for column, cell in enumerate(cells, start=1):
                try:
                    float(cell)
                except ValueError:
                    return UserError(
                        f"{file}: row {row}, column {column} is {cell!r}; expected a number"
                    )
    return None
