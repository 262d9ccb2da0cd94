"""Evaluation: part of a bundle is shown, the rest is to be found among all items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nearfar_bundle.measures import CUTS, measures
from nearfar_bundle.ranking import PART, Scores, best_items
from nearfar_bundle.split import Asked
from nearfar_kit.metrics import Record

__all__ = ["CHOSEN_BY", "Raised", "Scorer", "among_kinds", "best_of", "evaluate", "records_of"]

CHOSEN_BY = ("recall@20", "ndcg@20")  # their sum, of the validation part
BATCH = 512  # partial bundles at a time


class Scorer(Protocol):
    """What ranks a catalogue for partial bundles [Q, I]."""

    @property
    def size(self) -> int:
        """How many items there are."""
        ...

    def scores(self, shown: csr_matrix) -> Scores: ...


def best_of(
    scorer: Scorer, shown: csr_matrix, k: int, *, left_out: csr_matrix | None = None,
    part: int = PART,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # fmt: skip
    """The k best items of each partial bundle, those shown left out, and their scores."""
    out = shown if left_out is None else left_out
    best, scores = [], []
    for rows in _batches(shown.shape[0]):
        found = best_items(
            scorer.scores(shown[rows]), scorer.size, k, left_out=out[rows], part=part
        )
        best.append(found[0])
        scores.append(found[1])
    return np.concatenate(best), np.concatenate(scores)


def _batches(rows: int) -> Iterator[slice]:
    for start in range(0, max(1, rows), BATCH):
        yield slice(start, min(start + BATCH, rows))


def evaluate(scorer: Scorer, asked: Asked, warm: NDArray[np.bool_]) -> dict[str, float]:
    """The measures of :func:`nearfar_bundle.measures.measures`."""
    return measures(best_of(scorer, asked.shown, max(CUTS))[0], asked.hidden, warm)


def among_kinds(scorer: Scorer, asked: Asked, warm: NDArray[np.bool_]) -> dict[str, float]:
    """How well warm items are ranked among warm items alone, and cold ones among cold.

    What a list gives to one kind it takes from the other; here neither stands in the other's way.

    Returns:
        ``among warm recall@20`` and the like, of the measures of :data:`CHOSEN_BY`.
    """
    found: dict[str, float] = {}
    for kind, kept in (("warm", warm), ("cold", ~warm)):
        alone = Raised(scorer, np.where(kept, 0, -np.inf).astype(np.float32))
        best, _ = best_of(alone, asked.shown, max(CUTS))
        own = measures(best, asked.hidden, warm)
        found |= {f"among {kind} {name}": own[f"{kind} {name}"] for name in CHOSEN_BY}
    return found


@dataclass(frozen=True)
class Raised:
    """A scorer's scores, and a number more [I] for each item; one of minus infinity never comes."""

    scorer: Scorer
    more: NDArray[np.float32]

    @property
    def size(self) -> int:
        return self.scorer.size

    def scores(self, shown: csr_matrix) -> Scores:
        found, more = self.scorer.scores(shown), torch.from_numpy(self.more)
        return lambda own: torch.as_tensor(found(own)) + more[own]


def records_of(
    found: Mapping[str, float], *, dataset: str, split: str, method: str, seed: int, n: int
) -> list[Record]:
    return [Record(dataset, split, method, seed, name, value, n) for name, value in found.items()]
