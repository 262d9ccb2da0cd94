"""Ranks and best items over the whole catalogue, in memory of a part of it.

Scores are compared as float32; of two items that score alike the lower number comes first. So the
order is one, whatever the batches and the parts, as no rounding of float64 reaches a float32 but by
the rarest chance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nearfar_seqrec.scoring import Scorer
from nearfar_seqrec.sequences import PADDING, Ints

__all__ = ["best_items", "ranks_and_best"]

LAST = torch.iinfo(torch.int64).min  # the key of what cannot be chosen
PART = 8192  # items scored at a time
BATCH = 256  # histories at a time


def ranks_and_best(
    scorer: Scorer,
    histories: Ints,
    targets: Ints | None,
    k: int,
    *,
    seen: Ints | None = None,
    batch: int = BATCH,
    part: int = PART,
) -> tuple[Ints, Ints, np.ndarray]:
    """Each target's rank, from 1, and the k best items with their scores.

    Args:
        histories: [N, L] item numbers, padded with 0 on the right.
        targets: [N], or None: ranks are then 0.
        seen: [N, any], items that are passed over (a target is not), padded with 0; None: none.

    Returns:
        ranks [N], items [N, k] (0 where fewer are left), scores [N, k] float32.
    """
    ranks, best, scores = [], [], []
    for start in range(0, len(histories), batch):
        rows = slice(start, start + batch)
        target = None if targets is None else torch.from_numpy(targets[rows])
        left_out = None if seen is None else torch.from_numpy(seen[rows])
        rank, top = _of_batch(scorer, torch.from_numpy(histories[rows]), target, left_out, k, part)
        ranks.append(rank)
        best.append(_item_of(top))
        scores.append(_score_of(top))
    return tuple(torch.cat(found).numpy() for found in (ranks, best, scores))  # type: ignore[return-value]


def best_items(
    scorer: Scorer, histories: Ints, k: int, *, seen: Ints | None = None
) -> tuple[Ints, np.ndarray]:
    """The k best items [N, k] of each history, the best first, and their scores."""
    return ranks_and_best(scorer, histories, None, k, seen=seen)[1:]


def _of_batch(
    scorer: Scorer, histories: Tensor, target: Tensor | None, seen: Tensor | None, k: int, part: int
) -> tuple[Tensor, Tensor]:
    """Ranks [B] and the k largest keys [B, k]."""
    scored = scorer(histories)
    rank = torch.zeros(len(histories), dtype=torch.int64)
    own = None if target is None else _keys(scored.own(target).cpu(), target)
    top = torch.full((len(histories), 0), LAST)
    for items in _parts(scorer.items, part):
        keys = _keys(scored.part(items).cpu(), torch.arange(items.start, items.stop))  # B x part
        if items.start == PADDING:
            keys[:, PADDING] = LAST
        if seen is not None:
            row, column = ((seen >= items.start) & (seen < items.stop)).nonzero(as_tuple=True)
            keys[row, seen[row, column] - items.start] = LAST
        if own is not None:
            rank += (keys > own[:, None]).sum(1)
        merged = torch.cat([top, keys], 1)
        top = merged.topk(min(k, merged.shape[1]), dim=1).values
    if target is not None:
        rank += 1
    return rank, torch.nn.functional.pad(top, (0, k - top.shape[1]), value=LAST)


def _parts(items: int, part: int) -> Iterator[slice]:
    for start in range(0, items + 1, part):
        yield slice(start, min(start + part, items + 1))


def _keys(scores: Tensor, items: Tensor) -> Tensor:
    """Integers in the order of the scores, among equal ones the lower item above: all different."""
    bits = (scores.float() + 0.0).view(torch.int32).long()  # + 0.0: minus zero is zero
    order = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (order << 32) + (2**31 - 1 - items)


def _item_of(keys: Tensor) -> Tensor:
    return torch.where(keys == LAST, PADDING, 2**31 - 1 - (keys & 0xFFFFFFFF))


def _score_of(keys: Tensor) -> Tensor:
    order = keys >> 32
    bits = torch.where(order < 0, order ^ 0x7FFFFFFF, order)
    scores = bits.to(torch.int32).view(torch.float32)
    return scores.masked_fill(keys == LAST, -torch.inf)
