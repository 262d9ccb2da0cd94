"""Which scores mean "one thing", found without labels.

A threshold that perturbed copies teach is too strict: two sources write one thing more differently
than typos do. What two sources do tell is that a row has one partner in the other at most. A pair
whose row scores clearly higher with another is then known not to match, though it is no random
pair: these are the hard negatives that a mixture of two normals needs to find where matches begin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

__all__ = ["Cut", "Mixture", "fit_mixture", "rivals", "uncontested"]

Floats = NDArray[np.float64]


def rivals(pairs: NDArray[np.int64], scores: Floats, source: NDArray[np.int64]) -> Floats:
    """[P]: the best score of another pair that joins one of the two rows to the same source; -inf
    where there is none.

    Args:
        pairs: [P, 2] rows. scores: [P]. source: [N] the table of each row.
    """
    best = np.full(len(pairs), -np.inf)
    sources = int(source.max(initial=0)) + 1
    for side in (0, 1):
        key = pairs[:, side] * sources + source[pairs[:, 1 - side]]
        _, group = np.unique(key, return_inverse=True)
        order = np.lexsort((-scores, group))
        first = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0])
        size = np.diff(np.r_[first, len(order)])
        top = scores[order[first]]
        second = np.where(size > 1, scores[order[np.minimum(first + 1, len(order) - 1)]], -np.inf)
        leads = np.zeros(len(pairs), dtype=bool)
        leads[order[first]] = True
        best = np.maximum(best, np.where(leads, second[group], top[group]))
    return best


def uncontested(
    pairs: NDArray[np.int64], scores: Floats, source: NDArray[np.int64], margin: float
) -> NDArray[np.bool_]:
    """[P]: no row of the pair scores higher by ``margin`` with another of that source.

    Pairs within one source are all uncontested: there one thing may have many rows.
    """
    across = source[pairs[:, 0]] != source[pairs[:, 1]]
    best: NDArray[np.bool_] = ~across | (scores > rivals(pairs, scores, source) - margin)
    return best


@dataclass(frozen=True)
class Mixture:
    """Two normals over scores: of pairs that are one thing, and of those that are not.

    Attributes:
        rate: the share of the upper one. high, low: mean and deviation of each.
    """

    rate: float
    high: tuple[float, float]
    low: tuple[float, float]

    @property
    def apart(self) -> float:
        """How far the means are apart, in deviations of the difference of a pair of each: at 2 the
        upper one scores higher in 98 of 100."""
        return (self.high[0] - self.low[0]) / float(np.hypot(self.high[1], self.low[1]))

    def posterior(self, scores: Floats) -> Floats:
        """[P], of the upper one: further up (down) than the upper (lower) mean it does not turn
        round, as it would where that normal is the narrower one."""
        odds = (
            np.log(self.rate / max(1 - self.rate, 1e-12))
            + norm.logpdf(scores, *self.high)
            - norm.logpdf(scores, *self.low)
        )
        odds = np.where(scores > self.high[0], np.maximum(odds, 30.0), odds)
        found: Floats = expit(np.where(scores < self.low[0], -30.0, odds))
        return found


@dataclass(frozen=True)
class Cut:
    """Where too few pairs stand out for two normals: a cut, and how sharp it is."""

    at: float
    width: float

    def posterior(self, scores: Floats) -> Floats:
        """[P], of being one thing."""
        found: Floats = expit((scores - self.at) / self.width)
        return found


def fit_mixture(
    scores: Floats, open_: NDArray[np.bool_], *, iterations: int = 100
) -> Mixture | Cut | None:
    """By expectation-maximisation that keeps what is known: pairs not open belong to the lower one.

    Args:
        scores: [P], any scale. open_: [P], from :func:`uncontested`.

    Returns:
        None where there is nothing to tell apart.
    """
    if not open_.any() or np.ptp(scores) == 0:
        return None
    found: Mixture | Cut = Cut(_otsu(scores), float(scores.std() / 4))
    upper = np.where(open_, found.posterior(scores), 0.0)
    for _ in range(iterations):
        if upper.sum() < 1 or (1 - upper).sum() < 1:
            break
        found = Mixture(
            float(upper[open_].mean()), _moments(scores, upper), _moments(scores, 1 - upper)
        )
        new = np.where(open_, found.posterior(scores), 0.0)
        done = np.abs(new - upper).max() < 1e-4
        upper = new
        if done:
            break
    return found


def _moments(scores: Floats, weight: Floats) -> tuple[float, float]:
    mean = float(np.average(scores, weights=weight))
    spread = float(np.sqrt(np.average((scores - mean) ** 2, weights=weight)))
    return mean, max(spread, 1e-3 * float(np.ptp(scores)))


def _otsu(scores: Floats) -> float:
    """The cut that separates two groups' means the most (Otsu 1979)."""
    edges = np.linspace(scores.min(), scores.max(), 129)[1:-1]
    cuts = np.searchsorted(np.sort(scores), edges)
    sums = np.r_[0, np.cumsum(np.sort(scores))]
    low, n = np.maximum(cuts, 1), len(scores)
    gap = sums[low] / low - (sums[-1] - sums[low]) / np.maximum(n - low, 1)
    between = low * (n - low) * gap**2
    return float(edges[between.argmax()])
