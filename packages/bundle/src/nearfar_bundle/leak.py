"""What a split gives away: repeated bundles, near-duplicates, sessions and feedback across it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from nearfar_bundle.catalogue import Catalogue, incidence
from nearfar_bundle.split import NEAR, Split, holders, near_pairs

__all__ = ["Leak", "check_leak", "raw_leak"]

# Chance alone puts a bundle inside one user's feedback now and then: what is told is more than this
# many times what bundles of items drawn alike show, and more than a share of all bundles.
TIMES, LEAST = 3.0, 0.05


@dataclass(frozen=True)
class Leak:
    """One way in which held-out bundles may be known.

    Attributes:
        share: of the held-out bundles, those concerned.
        chance: what share shows where the same items are shuffled among these bundles.
        least: a share that is nothing yet.
    """

    what: str
    share: float
    chance: float = 0.0
    least: float = 0.0

    @property
    def found(self) -> bool:
        return self.share > max(self.least, TIMES * self.chance)

    def __str__(self) -> str:
        by_chance = f" (by chance {self.chance:.1%})" if self.least else ""
        return f"{self.what}: {self.share:.1%} of held-out bundles{by_chance}"


def check_leak(split: Split, seed: int = 0, near: float = NEAR) -> list[Leak]:
    """All ways that are looked for, found or not."""
    known = split.catalogue
    asked = np.concatenate([split.valid.bundles, split.test.bundles])
    held, train = known.bundles[asked], known.bundles[split.train]
    close = near_pairs(held, train, near)
    same = near_pairs(held, train, 1 - 1e-6)
    found = [
        Leak("the same items as a training bundle", _share(same)),
        Leak(f"a Jaccard index above {near:g} with a training bundle", _share(close)),
    ]
    if known.sessions is not None:
        shared = np.isin(known.sessions[asked], known.sessions[split.train])
        found.append(Leak("the session of a training bundle", float(shared.mean())))
    if len(known.feedback):
        feedback = incidence(known.feedback, int(known.feedback[:, 0].max()) + 1, len(known))
        chance = _inside(_drawn_alike(held, seed), feedback)
        found.append(
            Leak("nearly all items in one user's feedback", _inside(held, feedback), chance, LEAST)
        )
    return found


def raw_leak(known: Catalogue, seed: int = 0) -> Leak | None:
    """Whether feedback as it comes explains bundles, all of them held out."""
    if not len(known.feedback):
        return None
    feedback = incidence(known.feedback, int(known.feedback[:, 0].max()) + 1, len(known))
    size = np.diff(known.bundles.indptr)
    held = known.bundles[np.flatnonzero(size > 1)]
    chance = _inside(_drawn_alike(held, seed), feedback)
    return Leak(
        "nearly all items in one user's feedback, as it comes",
        _inside(held, feedback),
        chance,
        LEAST,
    )


def _share(pairs: csr_matrix) -> float:
    return float((np.diff(pairs.indptr) > 0).mean()) if pairs.shape[0] else 0.0


def _inside(held: csr_matrix, feedback: csr_matrix) -> float:
    """The share of bundles of whose items one user has nearly all."""
    return _share(holders(held, feedback))


def _drawn_alike(held: csr_matrix, seed: int) -> csr_matrix:
    """Bundles of the same sizes whose items are shuffled among them: each item as often."""
    rng = np.random.default_rng(seed)
    pairs = np.stack([held.tocoo().row.astype(np.int64), rng.permutation(held.indices)], 1)
    return incidence(pairs.astype(np.int64), *held.shape)
