"""Labels of sequences or genomes, from a TSV or CSV."""

from __future__ import annotations

import re
from pathlib import Path

from nearfar_dna.rows import is_number, read_rows
from nearfar_kit.errors import UserError

__all__ = ["read_labels"]

_MEASURE = re.compile(r"depth|cov|abundance|rpkm|tpm|len|size|\bgc\b", re.IGNORECASE)


def read_labels(path: Path) -> dict[str, tuple[str, ...]]:
    """Rows of a TSV or CSV without quotes, by their first column: ``id, species[, genome]``.

    A first row that begins with ``id``, or has ``species`` in it, is a header.

    Raises:
        UserError: the file cannot be read; a row has one column; an id occurs again; ``species`` is
            another column than the second; the labels are depths or other measures.
    """
    found: dict[str, tuple[str, ...]] = {}
    header: list[str] = []
    for number, row in read_rows(path):
        names = [field.lower() for field in row]
        if number == 1 and (names[0] == "id" or "species" in names):
            header = row
            if "species" in names and names.index("species") != 1:
                raise UserError(
                    f"{path}: species is column {names.index('species') + 1}; expected columns id "
                    "and species, and genome where a species has several"
                )
            continue
        if row[0].startswith("#"):
            continue
        if len(row) < 2 or not row[1]:
            raise UserError(f"{path}, row {number}: has no label; expected an id and a label")
        if row[0] in found:
            raise UserError(f"{path}, row {number}: id {row[0]} occurs again; expected it once")
        found[row[0]] = tuple(row[1:])
    if not found:
        raise UserError(f"{path}: holds no label; expected rows of an id and a label")
    _are_names(path, header, found)
    return found


def _are_names(path: Path, header: list[str], found: dict[str, tuple[str, ...]]) -> None:
    """Refuses a table of depths: whole numbers may be names (taxa, clusters), fractions are not."""
    rows = list(found.items())
    if not header and len(rows) > 1 and not is_number(rows[0][1][0]):
        header, rows = [rows[0][0], *rows[0][1]], rows[1:]
    if not all(is_number(row[0]) for _, row in rows):
        return
    measure = len(header) > 1 and _MEASURE.search(header[1])
    name, (value, *_) = rows[0]
    if measure or not all(row[0].isdigit() for _, row in rows):
        under = f" under {header[1]!r}" if measure else ""
        raise UserError(
            f"{path}: column 2{under} is all numbers ({name} has {value}); expected species"
        )
