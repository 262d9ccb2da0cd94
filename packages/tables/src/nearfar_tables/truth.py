"""Truth discovery: which of several claims about one thing holds, and which sources to trust.

All take C claims as three arrays, item, source and value, of integers from 0; a value belongs to
one item. They give a confidence for each value, 0 to 1, comparable within an item. Time and memory
grow with the claims.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array, hstack, vstack
from sklearn.linear_model import LogisticRegression

__all__ = ["METHODS", "Claims", "accu", "crh", "slimfast", "truth_finder", "vote"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ITERATIONS = 50


class Claims:
    """Claims without repeats: a source that says a value of an item twice says it once.

    Args:
        item, source, value: [C].

    Raises:
        ValueError: lengths differ, or a value is claimed of two items.
    """

    def __init__(self, item: Ints, source: Ints, value: Ints) -> None:
        if not len(item) == len(source) == len(value):
            raise ValueError(
                f"{len(item)} items, {len(source)} sources, {len(value)} values; expected as many"
            )
        # Numbers that claim nothing are no sources: CRH's weights are shares over all there are.
        _, source = np.unique(source, return_inverse=True)
        self.sources = int(source.max(initial=-1)) + 1
        self.values = int(value.max(initial=-1)) + 1
        self.items = int(item.max(initial=-1)) + 1
        self.item_of = np.zeros(self.values, dtype=np.int64)
        self.item_of[value] = item
        if (self.item_of[value] != item).any():
            raise ValueError("a value is claimed of two items; expected one item for each value")
        once = np.unique(value * max(self.sources, 1) + source)
        self.value, self.source = np.divmod(once, max(self.sources, 1))
        self.item = self.item_of[self.value]

    def per_value(self, weight: Floats) -> Floats:
        """Sums of a claim's weights [C] by value."""
        return np.bincount(self.value, weights=weight, minlength=self.values).astype(np.float64)

    def mean_per_source(self, weight: Floats, prior: float, strength: float) -> Floats:
        """Means of a claim's weights [C] by source, drawn to ``prior`` as by so many claims."""
        total = np.bincount(self.source, weights=weight, minlength=self.sources)
        claims = np.bincount(self.source, minlength=self.sources)
        means: Floats = (total + prior * strength) / np.maximum(claims + strength, 1e-12)
        return means

    def shares(self, log_weight: Floats) -> Floats:
        """``exp(log_weight)`` [values] over its sum within each item."""
        top = np.full(self.items, -np.inf)
        np.maximum.at(top, self.item_of, log_weight)
        weight = np.exp(log_weight - top[self.item_of])
        sums = np.bincount(self.item_of, weights=weight, minlength=self.items)
        shares: Floats = weight / sums[self.item_of]
        return shares


def vote(claims: Claims) -> Floats:
    """The share of an item's claims."""
    counts = claims.per_value(np.ones(len(claims.value)))
    sums = np.bincount(claims.item_of, weights=counts, minlength=claims.items)
    return counts / np.maximum(sums[claims.item_of], 1)


def truth_finder(claims: Claims, *, dampening: float = 0.3, trust: float = 0.9) -> Floats:
    """TruthFinder without similarity between values (Yin, Han, Yu 2008): values are clusters here.

    ``tau(s) = -ln(1 - t(s))``; ``confidence = 1 / (1 + exp(-dampening sum tau))``; ``t(s)`` the
    mean confidence of what s says.
    """
    t = np.full(claims.sources, trust)
    confidence = np.zeros(claims.values)
    for _ in range(ITERATIONS):
        tau = -np.log(np.maximum(1 - t, 1e-6))
        confidence = 1 / (1 + np.exp(-dampening * claims.per_value(tau[claims.source])))
        new = claims.mean_per_source(confidence[claims.value], trust, 1e-9)
        if 1 - (new @ t) / (np.linalg.norm(new) * np.linalg.norm(t)) < 1e-6:
            break
        t = new
    return confidence


def crh(claims: Claims) -> Floats:
    """CRH for categories (Li et al. 2014): a source weighs ``-ln`` of its share of all errors."""
    confidence = vote(claims)
    for _ in range(ITERATIONS):
        right = _first(claims, confidence)[claims.value]
        wrong = np.bincount(claims.source, weights=1.0 - right, minlength=claims.sources)
        claimed = np.bincount(claims.source, minlength=claims.sources)
        error = (wrong + 0.5) / (claimed + 1)
        weight = -np.log(error / error.sum())
        new = claims.shares(np.log(np.maximum(claims.per_value(weight[claims.source]), 1e-12)))
        done = np.abs(new - confidence).max(initial=0) < 1e-6
        confidence = new
        if done:
            break
    return confidence


def accu(
    claims: Claims, *, false_values: float = 10.0, accuracy: float = 0.8, strength: float = 0.0
) -> Floats:
    """Accu (Dong, Berti-Equille, Srivastava 2009): posteriors of values from sources' accuracies.

    A source of accuracy A votes ``ln(n A / (1 - A))``, n the number of false values to choose from;
    its accuracy is the mean posterior of what it says, kept from 0.01 to 0.99, and drawn to
    ``accuracy`` as by ``strength`` claims (the paper: none).
    """
    trust = np.full(claims.sources, accuracy)
    posterior = vote(claims)
    for _ in range(ITERATIONS):
        bounded = np.clip(trust, 0.01, 0.99)
        votes = np.log(false_values * bounded / (1 - bounded))
        new = claims.shares(claims.per_value(votes[claims.source]))
        done = np.abs(new - posterior).max(initial=0) < 1e-6
        posterior = new
        trust = claims.mean_per_source(posterior[claims.value], accuracy, strength)
        if done:
            break
    return posterior


def slimfast(claims: Claims, *, strength: float = 1.0) -> Floats:
    """SLiMFast by expectation-maximisation (Rekatsinas et al. 2017, arXiv 1512.06474).

    A source's log-odds of being right are a logistic regression over what is known of it, here how
    much it claims, and over who it is. One that is wrong says any of the item's other values, so a
    value's posterior is the softmax of the sums of ``log-odds + ln(values of the item - 1)`` over
    those who say it. Of two values that is the paper's; of many, the sums without it make what most
    say the least likely, since sources that are right less than half of the time are then no better
    than liars.

    Args:
        strength: of the regression's penalty.
    """
    posterior = vote(claims)
    claimed = np.bincount(claims.source, minlength=claims.sources).astype(float)
    about = np.log(claimed)
    about = (about - about.mean()) / (about.std() + 1e-9)
    choice = np.bincount(claims.item_of, minlength=claims.items)
    others = np.log(np.maximum(choice - 1, 1))[claims.item]
    known = hstack([csr_array(about[:, None]), eye_array(claims.sources, format="csr")]).tocsr()
    both, label = vstack([known, known]), np.repeat([1, 0], claims.sources)
    for _ in range(ITERATIONS):
        right = np.bincount(
            claims.source, weights=posterior[claims.value], minlength=claims.sources
        )
        weight = np.r_[right, claimed - right]
        fitted = LogisticRegression(C=1 / strength, max_iter=1000).fit(both, label, weight)
        odds = fitted.decision_function(known)[claims.source]
        new = claims.shares(claims.per_value(odds + others))
        done = np.abs(new - posterior).max(initial=0) < 1e-4
        posterior = new
        if done:
            break
    return posterior


def _first(claims: Claims, confidence: Floats) -> NDArray[np.bool_]:
    """[values] whether a value is its item's best; the lower number where two are equal."""
    order = np.lexsort((np.arange(claims.values), -confidence, claims.item_of))
    first = np.zeros(claims.values, dtype=bool)
    starts = np.flatnonzero(np.diff(claims.item_of[order], prepend=-1))
    first[order[starts]] = True
    return first


METHODS: dict[str, Callable[[Claims], Floats]] = {
    "vote": vote,
    "truthfinder": truth_finder,
    "crh": crh,
    "accu": accu,
    "slimfast": slimfast,
}
