"""Log-sum-exps of rows against themselves: the upper triangle of tiles serves both halves.

Where queries are keys ``s_ij = s_ji``, and a rule with the same codes on both sides admits (j, i)
with (i, j). A tile above the diagonal then gives its rows' sums along its rows, and its columns'
along its columns, and in the backward pass

    dZ_i = k sum_j (G_ij + G_ji) z_j,   G_ij + G_ji = e_ij (a_i + a_j),

with ``e_ij = exp(s_ij)`` and ``a_i = dA_i / sum_j e_ij``: 4 N^2 D operations where the general path
takes 8. The scores are bounded, so that the sums need no running maximum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nearfar.statistic import Scores, Statistic
from nearfar.streaming import side_of, tiles_of

__all__ = ["fits", "row_statistics"]


def fits(scores: Scores, statistics: Sequence[Statistic]) -> bool:
    """Whether this schedule can take these scores and statistics."""
    return (
        scores.queries is scores.keys
        and scores.bounded
        and scores.scale.ndim == 0
        and scores.bias is None
        and all(
            statistic.kind == "lse" and statistic.log_weight is None and statistic.pairs.symmetric
            for statistic in statistics
        )
    )


def row_statistics(scores: Scores, statistics: Sequence[Statistic]) -> tuple[Tensor, ...]:
    """One tensor [N] a statistic, of scores and statistics that :func:`fits`."""
    side = side_of(scores.queries)
    outputs: tuple[Tensor, ...] = _Symmetric.apply(  # type: ignore[no-untyped-call]
        scores.queries, scores.scale, tuple(statistics), side
    )
    return outputs


def _triangle(size: int, side: int) -> Iterator[tuple[slice, slice]]:
    for i in range(0, size, side):
        for j in range(i, size, side):
            yield slice(i, min(i + side, size)), slice(j, min(j + side, size))


class _Tiles:
    """The tiles' exponentials, written into one buffer after another's use."""

    def __init__(self, z: Tensor, k: Tensor, side: int) -> None:
        self.left, self.right = z * k, z
        side = min(side, len(z))
        self.buffer = z.new_empty(side * side)

    def exponentials(self, rows: slice, cols: slice) -> Tensor:
        x, y = self.left[rows], self.right[cols]
        e = self.buffer[: len(x) * len(y)].view(len(x), len(y))
        return torch.mm(x, y.T, out=e).exp_()


class _Symmetric(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, k: Tensor, statistics: tuple[Statistic, ...], side: int
    ) -> tuple[Tensor, ...]:
        tiles = _Tiles(z, k, side)
        totals = [z.new_zeros(len(z)) for _ in statistics]  # sum_j e_ij
        masks = tiles_of(statistics, side)
        for rows, cols in _triangle(len(z), side):
            e: Tensor | None = None
            for outside, total in zip(masks, totals, strict=True):
                mask = outside.left_out(rows, cols)
                if mask is True:
                    continue
                e = tiles.exponentials(rows, cols) if e is None else e
                own = e.masked_fill(mask, 0) if isinstance(mask, Tensor) else e
                total[rows] += own.sum(1)
                if rows != cols:
                    total[cols] += own.sum(0)
        ctx.save_for_backward(z, k, *totals)
        ctx.statistics, ctx.side = statistics, side
        return tuple(total.log() for total in totals)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        z, k, *totals = ctx.saved_tensors
        with torch.autocast(z.device.type, enabled=False):
            tiles = _Tiles(z, k, ctx.side)
            masks = tiles_of(ctx.statistics, ctx.side)
            # A row without pairs has no gradient, whatever comes from above.
            shares = [
                torch.where(total > 0, du / total, 0)
                for du, total in zip(upstream, totals, strict=True)
            ]
            along = torch.zeros_like(z)  # sum_j (G_ij + G_ji) z_j
            for rows, cols in _triangle(len(z), ctx.side):
                e: Tensor | None = None
                h: Tensor | None = None
                for outside, share in zip(masks, shares, strict=True):
                    mask = outside.left_out(rows, cols)
                    if mask is True:
                        continue
                    e = tiles.exponentials(rows, cols) if e is None else e
                    part = share[rows, None] + share[cols]  # n x m
                    if isinstance(mask, Tensor):
                        part.masked_fill_(mask, 0)
                    h = part if h is None else h.add_(part)
                if e is None or h is None:
                    continue
                h = h.mul_(e)
                along[rows].addmm_(h, z[cols])
                if rows != cols:
                    along[cols].addmm_(h.T, z[rows])
        for_z, for_k = ctx.needs_input_grad[:2]
        dz = along * k if for_z else None
        # Each pair stands twice in sum_i <z_i, along_i>.
        dk = (z * along).sum() / 2 if for_k else None
        return dz, dk, None, None
