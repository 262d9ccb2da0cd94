"""Labelled pairs of the er_magellan sets, as Ditto lays them out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_kit.gzip_files import unpack

__all__ = ["SETS", "LabelledPairs", "read_pairs"]

SETS = {
    "beer": "Structured/Beer",
    "fodors-zagats": "Structured/Fodors-Zagats",
    "itunes-amazon": "Structured/iTunes-Amazon",
    "itunes-amazon-dirty": "Dirty/iTunes-Amazon",
    "amazon-google": "Structured/Amazon-Google",
    "dblp-acm": "Structured/DBLP-ACM",
    "abt-buy": "Textual/Abt-Buy",
}
SPLITS = ("train", "valid", "test")
FIELD = re.compile(r"COL (\S+) VAL(.*?)(?= COL \S+ VAL|$)")


@dataclass(frozen=True)
class LabelledPairs:
    """Candidate pairs of two sources with the truth.

    Attributes:
        frame: [N, columns], distinct rows of the left source, then of the right.
        source: [N], 0 left, 1 right.
        pairs: [P, 2] rows of ``frame``, left and right.
        label: [P] whether they are one.
        split: [P], 0 train, 1 valid, 2 test.
    """

    name: str
    frame: pl.DataFrame
    source: NDArray[np.int64]
    pairs: NDArray[np.int64]
    label: NDArray[np.bool_]
    split: NDArray[np.int64]

    def without(self, *columns: str) -> LabelledPairs:
        """The same without some columns."""
        frame = self.frame.drop(columns)
        return LabelledPairs(self.name, frame, self.source, self.pairs, self.label, self.split)


def read_pairs(folder: Path) -> LabelledPairs:
    """Reads ``train.txt``, ``valid.txt`` and ``test.txt`` of a folder, plain or gzip.

    A line is ``COL a VAL x COL b VAL y <tab> COL a VAL ... <tab> 0 or 1``.

    Raises:
        UserError: a file is missing, or a line is none of these; it is named.
    """
    sides: tuple[dict[tuple[str, ...], int], dict[tuple[str, ...], int]] = ({}, {})
    pairs, label, split = [], [], []
    columns: tuple[str, ...] | None = None
    for number, name in enumerate(SPLITS):
        for where, line in _lines(folder, name):
            parts = line.split("\t")
            fields = [FIELD.findall(part.strip()) for part in parts[:2]]
            names = [tuple(key for key, _ in own) for own in fields]
            columns = columns or (names[0] if names else None)
            if len(parts) != 3 or parts[2] not in ("0", "1") or names != [columns, columns]:
                raise UserError(
                    f"{where}: is no pair; expected 'COL a VAL x<tab>COL a VAL y<tab>0'"
                )
            rows = [tuple(value.strip() for _, value in own) for own in fields]
            pairs.append(
                [own.setdefault(row, len(own)) for own, row in zip(sides, rows, strict=True)]
            )
            label.append(parts[2] == "1")
            split.append(number)
    if columns is None:
        raise UserError(f"{folder}: holds no pair")
    left = len(sides[0])
    frame = pl.DataFrame(
        [*sides[0], *sides[1]], schema=dict.fromkeys(columns, pl.String), orient="row"
    ).with_columns(pl.all().replace("", None))
    return LabelledPairs(
        folder.name,
        frame,
        np.repeat([0, 1], [left, len(sides[1])]),
        np.array(pairs) + np.array([0, left]),
        np.array(label),
        np.array(split),
    )


def _lines(folder: Path, name: str) -> list[tuple[str, str]]:
    for path in (folder / f"{name}.txt", folder / f"{name}.txt.gz"):
        if path.is_file():
            try:
                raw = unpack(path) if path.suffix == ".gz" else path.read_bytes()
                lines = raw.decode().splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{path}: cannot be read ({error})") from None
            return [(f"{path}, line {n}", line) for n, line in enumerate(lines, 1) if line]
    raise UserError(f"{folder}: has no {name}.txt; expected train, valid and test")
