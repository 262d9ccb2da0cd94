"""The nearest keys of each query, tile by tile."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.masks import fill_
from nearfar.pairs import Pairs, everything

__all__ = ["nearest"]

TILE = 4096


@torch.no_grad()
def nearest(
    queries: Tensor, keys: Tensor, k: int, *, pairs: Pairs | None = None, tile: int = TILE
) -> tuple[Tensor, Tensor]:
    """The k keys of largest inner product with each query, the largest first.

    Gather them by index for scores that have a gradient.

    Args:
        queries: [N, D]. keys: [M, D].
        k: 1 to M.
        pairs: which keys a query may take; None: all. Where fewer than k are admitted, the rest
            have score -inf.
        tile: side of a tile of scores.

    Returns:
        Index [N, k] and score [N, k].

    Raises:
        ValueError: k is out of range, or widths differ.

    Example:
        >>> index, score = nearest(torch.eye(3), torch.eye(3)[:2], k=1)
        >>> index[:2].flatten(), score[:2].flatten()
        (tensor([0, 1]), tensor([1., 1.]))
    """
    if queries.shape[1:] != keys.shape[1:]:
        raise ValueError(
            f"keys has rows of {tuple(keys.shape[1:])}; expected {tuple(queries.shape[1:])}"
        )
    if not 1 <= k <= len(keys):
        raise ValueError(f"k is {k}; expected 1 to {len(keys)}, the number of keys")
    masks = (everything() if pairs is None else pairs).tiles(tile)
    indices, scores = [], []
    for start in range(0, len(queries), tile):
        rows = slice(start, min(start + tile, len(queries)))
        x = queries[rows]
        best = x.new_full((len(x), k), -torch.inf)
        where = torch.zeros(len(x), k, dtype=torch.int64, device=x.device)
        for begin in range(0, len(keys), tile):
            cols = slice(begin, min(begin + tile, len(keys)))
            mask = masks.left_out(rows, cols)
            if mask is True:
                continue
            with torch.autocast(x.device.type, enabled=False):  # half precision finds others
                s = fill_(x @ keys[cols].T, mask, -torch.inf)
            top, at = s.topk(min(k, s.shape[1]), dim=1)
            best, order = torch.cat([best, top], 1).topk(k, dim=1)
            where = torch.cat([where, at + begin], 1).gather(1, order)
        indices.append(where)
        scores.append(best)
    return torch.cat(indices), torch.cat(scores)
