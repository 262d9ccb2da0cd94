"""How much one attribute tells of another: mutual information over the table, chance taken off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mutual_info_score

from nearfar_tables.cells import number_of

__all__ = ["codes_of", "relevance"]

Ints = NDArray[np.int64]
BINS = 10  # of numbers
ROWS = 20_000  # that are looked at
SHUFFLES = 3
UNKNOWN = -1


def codes_of(forms: list[str | None], kind: str) -> Ints:
    """Canonical forms as numbers, -1 where there is none; numbers in ten quantiles at most."""
    known = [form is not None for form in forms]
    codes = np.full(len(forms), UNKNOWN, dtype=np.int64)
    present = [form for form in forms if form is not None]
    if not present:
        return codes
    if kind == "number":
        numbers = np.array([number_of(form) for form in present])
        if np.isfinite(numbers).all() and len(np.unique(numbers)) > BINS:
            edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))
            codes[known] = np.searchsorted(edges, numbers, side="right")
            return codes
    codes[known] = np.unique(np.array(present, dtype=object), return_inverse=True)[1]
    return codes


def relevance(
    codes: Mapping[str, Ints], target: str, *, least: float = 0.1, seed: int = 0
) -> dict[str, float]:
    """Weights of the attributes that tell at least so much of ``target``; they add up to 1.

    Mutual information of a column that differs in every row is as large as can be, and tells
    nothing of another row: what the same values give in a random order is taken off.

    Args:
        codes: of every column, [N], see :func:`codes_of`. target: one of them.
        least: nats; the paper's beta.
    """
    rng = np.random.default_rng(seed)
    wanted = codes[target]
    found: dict[str, float] = {}
    for name, own in codes.items():
        rows = np.flatnonzero((own != UNKNOWN) & (wanted != UNKNOWN))
        if name == target or len(rows) < 2:
            continue
        if len(rows) > ROWS:
            rows = rng.choice(rows, ROWS, replace=False)
        told, asked = own[rows], wanted[rows]
        chance = [mutual_info_score(rng.permutation(told), asked) for _ in range(SHUFFLES)]
        nats = float(mutual_info_score(told, asked) - np.mean(chance))
        if nats >= least:
            found[name] = nats
    whole = sum(found.values())
    return {name: nats / whole for name, nats in found.items()}
