"""The judge that needs no language model: the examples vote, each by what it shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nearfar_tables.canonical import canonical, kind_of
from nearfar_tables.conflicts.question import Answer, Question

__all__ = ["NeighbourJudge"]


@dataclass(frozen=True)
class NeighbourJudge:
    """ICLCR's own selection, used as the classifier.

    Args:
        least: of the examples' weight, how much must speak for one of the candidates; else it
            abstains.
    """

    least: float = 0.5
    name: str = "neighbours"

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Answer:
        values = [*question.candidates, *(example.value for example in question.examples)]
        kind = kind_of(values, question.attribute)
        forms = [canonical(value, kind) for value in question.candidates]
        support = np.zeros(len(forms))
        for example in question.examples:
            form = canonical(example.value, kind)
            if form is not None and form in forms:
                support[forms.index(form)] += example.weight
        whole = sum(example.weight for example in question.examples)
        best = int(support.argmax())
        if not whole or support[best] < self.least * whole or (support == support[best]).sum() > 1:
            return Answer(None, why="no examples speak for one candidate")
        return Answer(best, float(support[best] / whole))
