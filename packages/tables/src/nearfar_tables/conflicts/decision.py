"""A judge's answers put in the place of what truth discovery had chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_tables.canonical import canonical, kind_of, left_out, nested
from nearfar_tables.cells import normal_text
from nearfar_tables.conflicts.question import Answer, Judge, Question
from nearfar_tables.resolution import Resolution

__all__ = ["decide"]


def decide(
    resolution: Resolution,
    frame: pl.DataFrame,
    sets: NDArray[np.int64],
    questions: Sequence[Question],
    judge: Judge,
) -> tuple[Resolution, dict[str, int]]:
    """The resolution with the judge's choices, and how often it answered or why it did not.

    Where the judge abstains, what was chosen before stays, with its method.

    Args:
        resolution: of :func:`nearfar_tables.resolve`. frame, sets: what it was made from.
        questions: of :func:`questions_of`, one for each conflict.

    Raises:
        ValueError: another number of questions or answers than conflicts.
    """
    cells = resolution.cells
    places = resolution.open.arg_true().to_list()
    answers = judge(questions)
    if not len(places) == len(questions) == len(answers):
        raise ValueError(
            f"{len(places)} conflicts, {len(questions)} questions, {len(answers)} answers; "
            "expected as many"
        )
    columns = {name: cells[name].to_list() for name in ("value", "method", "confidence", "rows")}
    table = {name: resolution.table[name].to_list() for name in resolution.table.columns}
    said = _Said(frame, sets)
    for place, question, answer in zip(places, questions, answers, strict=True):
        if answer.candidate is None:
            continue
        value = question.candidates[answer.candidate]
        name, number = cells["column"][place], cells["set"][place]
        rows, first = said.by(number, name, value)
        columns["value"][place], columns["method"][place] = value, judge.name
        columns["confidence"][place], columns["rows"][place] = answer.confidence, rows
        table[name][number] = frame[name][first]
    own = pl.DataFrame(
        [
            pl.Series(name, columns.get(name, cells[name]), dtype=cells.schema[name])
            for name in cells.columns
        ]
    )
    decided = pl.DataFrame(
        [pl.Series(n, values, dtype=resolution.table.schema[n]) for n, values in table.items()]
    )
    return Resolution(decided, own), _counts(answers)


def _counts(answers: Sequence[Answer]) -> dict[str, int]:
    return dict(Counter(answer.why for answer in answers))


class _Said:
    """Which rows of a set say a value, in whatever way they write it."""

    def __init__(self, frame: pl.DataFrame, sets: NDArray[np.int64]) -> None:
        self.frame = frame
        self.order = np.argsort(sets, kind="stable")
        self.sorted = sets[self.order]
        self.kinds: dict[str, str] = {}

    def by(self, number: int, name: str, value: str) -> tuple[list[int], int]:
        """The rows, and one that writes it exactly so."""
        column = self.frame[name]
        if name not in self.kinds:
            normal = (normal_text(value) for value in column.drop_nulls().to_list())
            self.kinds[name] = kind_of(filter(None, normal), name)
        begin, end = np.searchsorted(self.sorted, [number, number + 1])
        kind = self.kinds[name]
        form, beside = canonical(value, kind), left_out(value, kind)
        texts = {row: column[row] for row in self.order[begin:end].tolist()}
        rows = [
            row for row, text in texts.items()
            if text is not None and canonical(text, kind) == form
            and nested(left_out(text, kind), beside)
        ]  # fmt: skip
        return rows, next(row for row in rows if str(texts[row]) == value)
