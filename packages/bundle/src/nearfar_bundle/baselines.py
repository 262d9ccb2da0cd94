"""What needs no training: popularity, cosines of one modality, and the best blend of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nearfar_bundle.batches import queries_of
from nearfar_bundle.company import BUNDLES, company_blocks
from nearfar_bundle.description import Description
from nearfar_bundle.evaluate import evaluate
from nearfar_bundle.evidence import Items
from nearfar_bundle.features import Block, unit_rows
from nearfar_bundle.ranking import Scores
from nearfar_bundle.split import Split

__all__ = [
    "GRID",
    "Blend",
    "Cosine",
    "Made",
    "Neighbours",
    "Popularity",
    "best_blend",
    "nearest_alone",
    "simple_scorers",
]

NEAREST = 50
GRID = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
ROUNDS = 2


@dataclass(frozen=True)
class Popularity:
    """How many training bundles hold the item."""

    degrees: NDArray[np.int64]

    @property
    def size(self) -> int:
        return len(self.degrees)

    def scores(self, shown: csr_matrix) -> Scores:
        counts = torch.from_numpy(self.degrees.astype(np.float32))
        return lambda own: counts[own].expand(shown.shape[0], -1)


@dataclass(frozen=True)
class Cosine:
    """The mean cosine with the items shown, in one modality.

    Of text that is TF-IDF cosine, of bundles co-occurrence, of feedback item-kNN.
    """

    block: Block

    @property
    def size(self) -> int:
        return int(self.block.rows.shape[0])

    def scores(self, shown: csr_matrix) -> Scores:
        (query,) = queries_of(shown, [self.block])
        return lambda own: Items([self.block], own).product(0, query)


@dataclass(frozen=True)
class Neighbours:
    """Item-kNN: the mean similarity with the items shown, [I, I] of each item's nearest alone."""

    similar: csr_matrix

    @property
    def size(self) -> int:
        return int(self.similar.shape[0])

    def scores(self, shown: csr_matrix) -> Scores:
        found = (shown @ self.similar).tocsc()
        return lambda own: torch.from_numpy(found[:, own].toarray())


@dataclass(frozen=True)
class Blend:
    """A weighted sum of scorers."""

    scorers: Sequence[Popularity | Cosine | Neighbours]
    weights: Sequence[float]

    @property
    def size(self) -> int:
        return self.scorers[0].size

    def scores(self, shown: csr_matrix) -> Scores:
        used = [
            (weight, scorer.scores(shown))
            for weight, scorer in zip(self.weights, self.scorers, strict=True)
            if weight
        ]
        return lambda own: sum(
            (weight * torch.as_tensor(scores(own)) for weight, scores in used),
            torch.zeros(shown.shape[0], own.stop - own.start),
        )


def nearest_alone(holders: csr_matrix, k: int = NEAREST) -> csr_matrix:
    """[I, holders] -> [I, I], the cosines of each item's k nearest others."""
    rows = unit_rows(holders)
    similar = (rows @ rows.T).tocsr()
    similar.setdiag(0.0)
    similar.eliminate_zeros()
    for row in range(similar.shape[0]):
        own = similar.data[similar.indptr[row] : similar.indptr[row + 1]]
        if len(own) > k:
            own[own < np.partition(own, -k)[-k]] = 0.0
    similar.eliminate_zeros()
    return similar.astype(np.float32)


def simple_scorers(split: Split) -> dict[str, Popularity | Cosine | Neighbours]:
    """All that is simple and that this catalogue has what it needs for, by name."""
    known = split.catalogue
    description = Description.of(known, 1)
    found: dict[str, Popularity | Cosine | Neighbours] = {"popularity": Popularity(split.degrees)}
    blocks, _ = company_blocks(split)
    for block in blocks:
        kind = "co-occurrence" if block.name == BUNDLES else f"co-occurrence in {block.name}"
        found[f"{kind}, cosine"] = Cosine(block)
        found[f"item-kNN, {block.name}"] = Neighbours(nearest_alone(block.rows))
    for block in description.blocks(known.texts, known.labels, known.vectors, len(known)):
        found[f"{block.name} cosine"] = Cosine(block)
    return found


def best_blend(
    split: Split, scorers: dict[str, Popularity | Cosine | Neighbours]
) -> tuple[Blend, dict[str, float]]:
    """The weights that find most in the validation part, one after the other, twice round.

    Each scorer is first brought to one size: the mean of its twentieth best score is one.
    """
    own, asked, warm = list(scorers.values()), split.valid, split.degrees > 0
    whole = slice(0, len(split.catalogue))
    made = [np.asarray(scorer.scores(asked.shown)(whole), np.float32) for scorer in own]
    size = [float(np.partition(m, -min(20, m.shape[1]), 1)[:, -min(20, m.shape[1])].mean())
            for m in made]  # fmt: skip
    unit = [1 / max(s, 1e-3 * float(m.max(initial=1e-9))) for s, m in zip(size, made, strict=True)]

    def value(weights: Sequence[float]) -> float:
        total = sum(w * u * m for w, u, m in zip(weights, unit, made, strict=True) if w)
        measured = evaluate(Made(np.asarray(total, np.float32)), asked, warm)
        return measured["recall@20"] + measured["ndcg@20"]

    alone = [value(np.eye(len(own))[n]) for n in range(len(own))]
    weights = list(np.eye(len(own))[int(np.argmax(alone))])
    best = max(alone)
    for _ in range(ROUNDS):
        for n in range(len(own)):
            for weight in GRID:
                tried = [*weights[:n], weight, *weights[n + 1 :]]
                if any(tried) and (found := value(tried)) > best:
                    best, weights = found, tried
    blend = Blend(own, [w * u for w, u in zip(weights, unit, strict=True)])
    return blend, dict(zip(scorers, weights, strict=True))


@dataclass(frozen=True)
class Made:
    """Scores that are computed already."""

    found: NDArray[np.float32]

    @property
    def size(self) -> int:
        return int(self.found.shape[1])

    def scores(self, shown: csr_matrix) -> Scores:
        assert shown.shape[0] == len(self.found)
        return lambda own: self.found[:, own]
