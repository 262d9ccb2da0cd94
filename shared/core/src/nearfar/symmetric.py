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

from nearfar.masks import Mask, fill, fill_
from nearfar.pairs import Tiles
from nearfar.statistic import Scores, Statistic
from nearfar.streaming import blocks, side_of, tiles_of

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


class _Triangle:
    """The tiles on and above the diagonal, each an exponential [n, m], made one after another."""

    def __init__(self, z: Tensor, k: Tensor, side: int) -> None:
        self.k, self.blocks = k, torch.split(z, side)
        self.slices = list(blocks(len(z), side))
        side = min(side, len(z))
        self.buffers = z.new_empty(2, side * side)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The numbers of the block of rows and of the block of columns."""
        for i, x in enumerate(self.blocks):
            self.scaled = x * self.k
            for j in range(i, len(self.blocks)):
                self.at = i, j
                yield i, j

    def exponentials(self) -> Tensor:
        """Of the present tile. They stand until the next tile's are asked for."""
        return torch.mm(self.scaled, self.blocks[self.at[1]].T, out=self.room(0)).exp_()

    def room(self, number: int) -> Tensor:
        """One of two buffers, shaped as the present tile; the first holds its exponentials."""
        n, m = (len(self.blocks[number]) for number in self.at)
        return self.buffers[number, : n * m].view(n, m)

    def left_out(self, tiles: Tiles) -> Mask:
        """Of the present tile."""
        i, j = self.at
        return tiles.left_out(self.slices[i], self.slices[j])


class _Symmetric(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, k: Tensor, statistics: tuple[Statistic, ...], side: int
    ) -> tuple[Tensor, ...]:
        triangle, masks = _Triangle(z, k, side), tiles_of(statistics, side)
        totals = [z.new_zeros(len(z)) for _ in statistics]  # sum_j e_ij
        of_block = [torch.split(total, side) for total in totals]
        leave_out = fill_ if len(statistics) == 1 else fill
        for i, j in triangle:
            e: Tensor | None = None
            for tiles, total in zip(masks, of_block, strict=True):
                mask = triangle.left_out(tiles)
                if mask is True:
                    continue
                e = triangle.exponentials() if e is None else e
                own = leave_out(e, mask, 0)
                total[i].add_(own.sum(1))
                if i != j:
                    total[j].add_(own.sum(0))
        ctx.save_for_backward(z, k, *totals)
        ctx.masks, ctx.side = masks, side
        return tuple(total.log() for total in totals)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        z, k, *totals = ctx.saved_tensors
        with torch.autocast(z.device.type, enabled=False):
            triangle = _Triangle(z, k, ctx.side)
            # A row without pairs has no gradient, whatever comes from above.
            shares = [
                torch.split(torch.where(total > 0, du / total, 0), ctx.side)
                for du, total in zip(upstream, totals, strict=True)
            ]
            whole = torch.zeros_like(z)  # sum_j (G_ij + G_ji) z_j
            along = torch.split(whole, ctx.side)
            for i, j in triangle:
                h: Tensor | None = None
                for tiles, share in zip(ctx.masks, shares, strict=True):
                    mask = triangle.left_out(tiles)
                    if mask is True:
                        continue
                    room = triangle.room(1) if h is None else None
                    part = fill_(torch.add(share[i][:, None], share[j], out=room), mask, 0)
                    h = part if h is None else h.add_(part)
                if h is None:
                    continue
                g = triangle.exponentials().mul_(h)
                along[i].addmm_(g, triangle.blocks[j])
                if i != j:
                    along[j].addmm_(g.T, triangle.blocks[i])
        for_z, for_k = ctx.needs_input_grad[:2]
        dz = whole * k if for_z else None
        # Each pair stands twice in sum_i <z_i, whole_i>.
        dk = (z * whole).sum() / 2 if for_k else None
        return dz, dk, None, None
