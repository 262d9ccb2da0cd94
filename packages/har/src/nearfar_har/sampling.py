"""Contrastive sampling: batches of synchronous windows, and asynchronous negatives.

A batch is one subject's windows, all devices at the same moments: row i of any device is a
synchronous positive of row i of another. An asynchronous negative is another moment of that batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nearfar_kit.errors import UserError

__all__ = ["asynchronous", "subject_batches"]


def asynchronous(rows: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` random orders of ``rows`` moments in which none keeps its place: [count, rows].

    A row left at its own place would be its own negative. One row alone has no other moment: it is
    an error to ask.
    """
    if rows < 2:
        raise ValueError(f"{rows} rows have no asynchronous order; expected at least 2")
    orders = []
    for _ in range(count):
        # A random cycle through all rows: each row's successor is another row.
        cycle = torch.randperm(rows, generator=generator)
        order = torch.empty_like(cycle)
        order[cycle] = cycle.roll(1)
        orders.append(order)
    return torch.stack(orders)


def subject_batches(
    subject: np.ndarray, size: int, steps: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """``steps`` batches of row numbers, each of one subject, without replacement inside an epoch.

    Subjects are drawn in proportion to their windows. A subject with fewer than ``size`` windows
    gives smaller batches; one with a single window gives none.

    Args:
        subject: [N] codes.
        size: rows a batch, roughly: a subject's windows are parted as evenly as can be.
    """
    rows = [np.flatnonzero(subject == s) for s in np.unique(subject)]
    rows = [r for r in rows if len(r) >= 2]
    if not rows:
        raise UserError("windows: no subject has two; contrast needs at least two of one subject")
    made = 0
    while made < steps:
        epoch = []
        for own in rows:
            # As even parts as possible: a short last batch has too few negatives.
            parts = max(1, round(len(own) / size))
            epoch += np.array_split(rng.permutation(own), parts)
        for batch in rng.permutation(np.arange(len(epoch))):
            yield epoch[batch]
            made += 1
            if made == steps:
                return
