"""Which path computes the core operation, and how to ask or to choose.

``reference`` is the dense definition, ``streaming`` the tiled one, by the cheapest schedule that
fits: ``symmetric`` and ``two_way`` make a tile of scores serve twice, ``resident`` forms gradients
in the forward pass. ``triton`` is that of a GPU; float64, and weights of pairs that follow from
rules, go by the streaming path there. What decides, in this order: the ``path=`` argument of a
loss, the environment variable ``NEARFAR_PATH``, the best path there is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from nearfar import batch, distributed, reference, resident, ring, streaming, symmetric, two_way
from nearfar.pairs import Pairs
from nearfar.softplus import softplus
from nearfar.statistic import Scores, Statistic

__all__ = ["Path", "contrast", "loss_path", "row_statistics", "two_way_lse"]

Path = Literal["reference", "streaming", "triton"]


def loss_path(device: str | torch.device = "cpu", path: Path | None = None) -> Path:
    """The path that the losses take on a device, ``path`` being what the caller asked for."""
    kind = torch.device(device).type
    fastest = "triton" if kind == "cuda" and find_spec("triton") else "streaming"
    chosen = path or os.environ.get("NEARFAR_PATH") or fastest
    source = "path" if path else "NEARFAR_PATH"
    if chosen not in get_args(Path):
        raise ValueError(f"{source} is {chosen!r}; expected one of {', '.join(get_args(Path))}")
    if chosen == "triton" and kind != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(
            f"{source} is 'triton' for a {kind} device; expected a CUDA device, or "
            "TRITON_INTERPRET=1 set before the start, for tests"
        )
    return cast(Path, chosen)


def row_statistics(
    scores: Scores, statistics: Sequence[Statistic], *, path: Path | None = None
) -> tuple[Tensor, ...]:
    """The core operation: one tensor [N] a statistic, exact gradients to all four of the scores."""
    device = scores.queries.device
    chosen = loss_path(device, path)

    def compute(scores: Scores, statistics: Sequence[Statistic]) -> tuple[Tensor, ...]:
        if chosen == "reference":
            return reference.row_statistics(scores, statistics)
        if chosen == "triton":
            from nearfar import triton_path  # only where there is a GPU

            if triton_path.fits(scores, statistics):
                return triton_path.row_statistics(scores, statistics)
        if symmetric.fits(scores, statistics):
            return symmetric.row_statistics(scores, statistics)
        return streaming.row_statistics(scores, statistics)

    group = batch.current()
    # Products of scores in bf16 would cost more digits than the embeddings carry.
    with torch.autocast(device.type, enabled=False):
        if isinstance(group, batch.Ring):
            return ring.row_statistics(scores, statistics, group.group, compute)
        if group is not None:
            return distributed.row_statistics(scores, statistics, group, compute)
        return compute(scores, statistics)


def contrast(
    scores: Scores, pairs: Pairs, base: Tensor, *, base_inside: bool, path: Path | None = None
) -> Tensor:
    """``log( sum_j exp(s_ij) ) - base_i`` of each row [N]: the loss of most one-way contrasts.

    Args:
        base: [N], the score of the row's positive.
        base_inside: whether ``pairs`` hold the positive; if not, it is added to the sum.
    """
    device = scores.queries.device
    alone = batch.current() is None
    if alone and loss_path(device, path) == "streaming" and resident.fits(scores):
        with torch.autocast(device.type, enabled=False):
            return resident.losses(scores, pairs, base, base_inside=base_inside)
    (lse,) = row_statistics(scores, [Statistic("lse", pairs)], path=path)
    return lse - base if base_inside else softplus(lse - base)


def two_way_lse(scores: Scores, pairs: Pairs, *, path: Path | None = None) -> tuple[Tensor, Tensor]:
    """The log-sum-exp of each row [N] and of each column [N] of scores that have no bias.

    With a scale a row [N], column j is scaled by the jth: the anchor's own, in both directions.
    """
    device = scores.queries.device
    with torch.autocast(device.type, enabled=False):
        chosen = loss_path(device, path) if batch.current() is None else None
        if chosen == "streaming" and two_way.fits(scores):
            return two_way.two_way(scores, pairs)
        if chosen == "triton":
            from nearfar import triton_path

            if scores.scale.ndim == 0 and triton_path.fits(scores, [Statistic("lse", pairs)]):
                return triton_path.two_way(scores, pairs)
    (rows,) = row_statistics(scores, [Statistic("lse", pairs)], path=path)
    turned = Scores(scores.keys, scores.queries, scores.scale, bounded=scores.bounded)
    (cols,) = row_statistics(turned, [Statistic("lse", pairs.turned())], path=path)
    return rows, cols
