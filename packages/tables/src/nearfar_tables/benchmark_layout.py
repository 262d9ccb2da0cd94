"""The paper's benchmark sets as their README describes them: ``Real`` and ``Join``.

Each set has a folder: a CSV, the outer union with noise in it; a text file of its integrable sets,
a line each with the ids of its rows; a text file of its integrable pairs, two ids a line; and,
where conflicts are asked for, a JSON list of ``{"known": {attribute: value}, "attribute": ..,
"candidates": [..], "truth": ..}``. The README tells what these hold, not what they are called: the
files are known by ``set`` and ``pair`` in their names. An id is the value of a column ``id`` if
there is one, else the number of the row, from 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_kit.json_files import read_json
from nearfar_kit.text_files import read_text
from nearfar_tables.conflicts.question import Question
from nearfar_tables.dirty_csv import read_csv

__all__ = ["IntegrationSet", "find_sets", "read_set"]

GROUPS = ("Real", "Join")
ID = "id"


@dataclass(frozen=True)
class IntegrationSet:
    """One set with its truth.

    Attributes:
        frame: [N, columns], without ids. sets: [N], from 0; rows that no set names are alone.
        pairs: integrable rows, the smaller first. questions, answers: conflicts and what is true.
    """

    name: str
    frame: pl.DataFrame
    sets: NDArray[np.int64]
    pairs: frozenset[tuple[int, int]]
    questions: tuple[Question, ...]
    answers: tuple[str, ...]


def find_sets(root: Path) -> list[Path]:
    """Folders of ``root/Real`` and ``root/Join``: R1, R2, ..., then J1, J2, ..."""
    return [
        path
        for group in GROUPS
        if (root / group).is_dir()
        for path in sorted((root / group).iterdir(), key=lambda p: (len(p.name), p.name))
        if path.is_dir()
    ]


def read_set(folder: Path) -> IntegrationSet:
    """Raises UserError, which names file and line, where the folder is none."""
    frame = read_csv(_only(folder, "*.csv")).frame
    places = {str(row): row for row in range(frame.height)}
    named = next((name for name in frame.columns if name.casefold() == ID), None)
    if named is not None:
        places = {str(name): row for row, name in enumerate(frame[named].to_list())}
        frame = frame.drop(named)
    sets = np.full(frame.height, -1)
    lines = _ids(_only(folder, "*set*.txt"), places)
    for number, (where, rows) in enumerate(lines):
        if (sets[rows] >= 0).any():
            raise UserError(f"{where}: a row is of another set too; expected one set a row")
        sets[rows] = number
    alone = np.flatnonzero(sets < 0)
    sets[alone] = len(lines) + np.arange(len(alone))
    pairs = set()
    for where, rows in _ids(_only(folder, "*pair*.txt"), places):
        if len(rows) != 2:
            raise UserError(f"{where}: has {len(rows)} ids; expected two")
        pairs.add((min(rows), max(rows)))
    asked = [
        _question(item, f"{path}, item {number}", frame.columns)
        for path in sorted(folder.glob("*.json"))
        for number, item in enumerate(_items(path))
    ]
    return IntegrationSet(
        folder.name, frame, sets, frozenset(pairs),
        tuple(question for question, _ in asked), tuple(truth for _, truth in asked),
    )  # fmt: skip


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1 or not found[0].is_file():
        raise UserError(f"{folder}: holds {len(found)} files {pattern}; expected one")
    return found[0]


def _ids(path: Path, places: dict[str, int]) -> list[tuple[str, list[int]]]:
    """Rows by line, with the place to tell; brackets, commas and blanks part ids."""
    lines = read_text(path, "ids of rows").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        names = [name for name in re.split(r"[\s,;()\[\]{}'\"]+", line) if name]
        unknown = next((name for name in names if name not in places), None)
        if unknown is not None:
            raise UserError(f"{path}, line {number}: no row {unknown!r}; expected ids of rows")
        if names:
            found.append((f"{path}, line {number}", [places[name] for name in names]))
    return found


def _items(path: Path) -> list[Any]:
    content = read_json(path)
    if not isinstance(content, list):
        raise UserError(f"{path}: is a {type(content).__name__}; expected a list of conflicts")
    return content


def _question(item: Any, where: str, columns: Sequence[str]) -> tuple[Question, str]:
    try:
        known = {str(k): str(v) for k, v in item["known"].items() if v is not None}
        candidates = tuple(str(value) for value in item["candidates"])
        question = Question(known, str(item["attribute"]), candidates)
        truth = str(item["truth"])
    except (KeyError, TypeError, AttributeError):
        raise UserError(
            f"{where}: is no conflict; expected known, attribute, candidates and truth"
        ) from None
    if not candidates or question.attribute not in columns:
        raise UserError(
            f"{where}: asks for {question.attribute!r} among {len(candidates)} candidates; "
            "expected a column of the table, and two or more"
        )
    return question, truth
