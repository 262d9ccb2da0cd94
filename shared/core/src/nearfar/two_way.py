"""Log-sum-exps along rows and along columns from one pass over the tiles of scores.

A loss in both directions (CLIP) wants ``log sum_j e^{s_ij}`` of every row and ``log sum_i
e^{s_ij}`` of every column. Each tile gives both, and its gradient ``G_ij = e_ij (a_i + b_j)`` goes
to queries and keys together: 8 N M D operations where two general passes take 16. The scores are
bounded, so that the sums need no running maximum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nearfar.masks import fill_
from nearfar.pairs import Pairs
from nearfar.statistic import Scores
from nearfar.streaming import blocks, side_of

__all__ = ["fits", "two_way"]


def fits(scores: Scores) -> bool:
    """Whether this schedule can take these scores."""
    return scores.bounded and scores.scale.ndim == 0 and scores.bias is None


def two_way(scores: Scores, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """The log-sum-exp of each row [N] and of each column [M] over the pairs that are admitted."""
    side = side_of(scores.queries)
    rows, cols = _TwoWay.apply(  # type: ignore[no-untyped-call]
        scores.queries, scores.keys, scores.scale, pairs, side
    )
    return rows, cols


class _TwoWay(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, k: Tensor, pairs: Pairs, side: int
    ) -> tuple[Tensor, Tensor]:
        tiles, scaled = pairs.tiles(side), x * k
        of_row, of_col = x.new_zeros(len(x)), x.new_zeros(len(y))
        for rows in blocks(len(x), side):
            for cols in blocks(len(y), side):
                mask = tiles.left_out(rows, cols)
                if mask is True:
                    continue
                e = fill_((scaled[rows] @ y[cols].T).exp_(), mask, 0)  # n x m
                of_row[rows] += e.sum(1)
                of_col[cols] += e.sum(0)
        ctx.save_for_backward(x, y, k, of_row, of_col)
        ctx.pairs, ctx.side = pairs, side
        return of_row.log(), of_col.log()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_row: Tensor, d_col: Tensor) -> tuple[Tensor | None, ...]:
        x, y, k, of_row, of_col = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            # A row or column without pairs has no gradient, whatever comes from above.
            a = torch.where(of_row > 0, d_row / of_row, 0)
            b = torch.where(of_col > 0, d_col / of_col, 0)
            tiles, scaled = ctx.pairs.tiles(ctx.side), x * k
            along = torch.zeros_like(x)  # sum_j G_ij y_j
            dy = torch.zeros_like(y)
            for rows in blocks(len(x), ctx.side):
                for cols in blocks(len(y), ctx.side):
                    mask = tiles.left_out(rows, cols)
                    if mask is True:
                        continue
                    g = (scaled[rows] @ y[cols].T).exp_()
                    g.mul_(a[rows, None] + b[cols])
                    fill_(g, mask, 0)
                    along[rows].addmm_(g, y[cols])
                    dy[cols].addmm_(g.T, scaled[rows])
        for_x, for_y, for_k = ctx.needs_input_grad[:3]
        return (
            along * k if for_x else None,
            dy if for_y else None,
            (x * along).sum() if for_k else None,
            None,
            None,
        )
