"""Questions with their demonstrations: things of the table that are like the one in question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_tables.canonical import canonical, kind_of
from nearfar_tables.conflicts.information import UNKNOWN, codes_of, relevance
from nearfar_tables.conflicts.question import Example, Question
from nearfar_tables.resolution import Resolution

__all__ = ["SELECTIONS", "Selection", "questions_of"]

Selection = Literal["weighted", "equal", "random"]
SELECTIONS = ("weighted", "equal", "random")
MOST_ALIKE = 2_000  # things that share one value and are looked at; a value of more says little


def questions_of(
    resolution: Resolution,
    *,
    demonstrations: int = 10,
    least: float = 0.1,
    selection: Selection = "weighted",
    seed: int = 0,
) -> list[Question]:
    """A question for each conflict that is ``resolution.open``, in their order.

    A thing is known by what its rows agree on or most of them say. Examples are other things whose
    value is not in doubt; none is the thing itself.

    Args:
        demonstrations: examples of each. least: see :func:`relevance`.
        selection: examples that share the most, each attribute by what it tells of the one asked
            for (``weighted``) or all of them equally, without leaving any out; or at random.

    Raises:
        UserError: an unknown selection.
    """
    if selection not in SELECTIONS:
        raise UserError(f"selection {selection!r}: expected one of {', '.join(SELECTIONS)}")
    things = _Things(resolution)
    rng = np.random.default_rng(seed)
    weights: dict[str, dict[str, float]] = {}
    questions = []
    for number, attribute, candidates in things.conflicts():
        if attribute not in weights:
            others = [name for name in things.codes if name != attribute]
            weights[attribute] = (
                relevance(things.codes, attribute, least=least, seed=seed)
                if selection == "weighted"
                else dict.fromkeys(others, 1 / max(len(others), 1))
            )
        own = weights[attribute]
        known = things.known(number, list(own))
        if selection == "random":
            pool = things.sure[attribute][things.sure[attribute] != number]
            chosen = rng.choice(pool, min(demonstrations, len(pool)), replace=False)
            alike = [(int(other), 0.0) for other in chosen]
        else:
            alike = things.alike(number, attribute, own, demonstrations)
        examples = tuple(
            Example(things.known(other, list(own)), things.texts[attribute][other] or "", weight)
            for other, weight in alike
        )
        questions.append(Question(known, attribute, candidates, examples))
    return questions


class _Things:
    """The resolved things by attribute: texts, codes, and where a value is found again."""

    def __init__(self, resolution: Resolution) -> None:
        self.cells, self.open = resolution.cells, resolution.open
        self.texts: dict[str, list[str | None]] = {}
        self.codes: dict[str, NDArray[np.int64]] = {}
        self.sure: dict[str, NDArray[np.int64]] = {}
        for (name,), own in resolution.cells.group_by("column", maintain_order=True):
            texts = own.sort("set")["value"].to_list()
            kind = kind_of([text for text in texts if text is not None], str(name))
            forms = [None if text is None else canonical(text, kind) for text in texts]
            self.texts[str(name)], self.codes[str(name)] = texts, codes_of(forms, kind)
            agreed = own.sort("set")["method"] == "agreed"
            self.sure[str(name)] = np.flatnonzero(agreed.to_numpy())
        self.places = {name: _Places(codes) for name, codes in self.codes.items()}

    def conflicts(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        found = self.cells.filter(self.open)
        for number, name, candidates in found.select("set", "column", "candidates").iter_rows():
            yield number, name, tuple(candidates)

    def known(self, number: int, names: list[str]) -> dict[str, str]:
        values = {name: self.texts[name][number] for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def alike(
        self, number: int, attribute: str, weights: dict[str, float], most: int
    ) -> list[tuple[int, float]]:
        """Things whose value is sure, with the weight of what they share: most of it first."""
        score = np.zeros(len(self.codes[attribute]))
        met = []
        for name, weight in weights.items():
            code = self.codes[name][number]
            if code != UNKNOWN:
                same = self.places[name].of(code)[:MOST_ALIKE]
                score[same] += weight
                met.append(same)
        if not met:
            return []
        others = np.intersect1d(np.concatenate(met), self.sure[attribute])
        others = others[others != number]
        best = others[np.argsort(-score[others], kind="stable")[:most]]
        return [(int(other), float(score[other])) for other in best]


class _Places:
    """Where each code stands, without a table of all pairs."""

    def __init__(self, codes: NDArray[np.int64]) -> None:
        self.order = np.argsort(codes, kind="stable")
        self.sorted = codes[self.order]

    def of(self, code: int) -> NDArray[np.int64]:
        begin, end = np.searchsorted(self.sorted, [code, code + 1])
        return self.order[begin:end]
