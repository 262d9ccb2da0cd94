"""One-way losses whose gradients are formed in the forward pass: 6 N M D operations, not 8.

A block of rows keeps all its M scores at once (a stated number of bytes, whatever N), so that its
softmax is whole before the next block comes, and queries' and keys' gradients can be added up on
the spot, each score and each exponential made once. That needs each row's share of the gradient
before the backward pass. It is known where a loss is a sum or a mean of

    l_i = softplus(A_i - b_i)     dl_i/dA_i = sigmoid(A_i - b_i),     or
    l_i = A_i - b_i               dl_i/dA_i = 1,

with ``A_i = log sum_j exp(s_ij)``: the backward pass then multiplies by one number. Where rows turn
out to be weighed unequally, it falls back on the general path.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nearfar.masks import fill_
from nearfar.pairs import Pairs
from nearfar.softplus import softplus
from nearfar.statistic import Scores, Statistic
from nearfar.streaming import blocks, finite, gradients_of, side_of

__all__ = ["fits", "losses"]

# Numbers in a block of rows by all keys: 64 MiB of float32.
RESIDENT = {"cpu": 2**24, "cuda": 2**28}
# Columns of a tile, a few of which stay in a CPU's cache.
WIDTH = {"cpu": 512, "cuda": 8192}
# Below so many rows a block's products no longer fill the machine.
FEWEST_ROWS = 64


def fits(scores: Scores) -> bool:
    """Whether a block of rows by all keys fits, and there is a gradient to form."""
    room = RESIDENT.get(scores.queries.device.type, 2**24)
    wanted = (scores.queries, scores.keys, scores.scale, scores.bias)
    return (
        len(scores.queries) > 0
        and len(scores.keys) * FEWEST_ROWS <= room
        and torch.is_grad_enabled()
        and any(t is not None and t.requires_grad for t in wanted)
    )


def losses(scores: Scores, pairs: Pairs, base: Tensor, *, base_inside: bool) -> Tensor:
    """``log( sum_j exp(s_ij) ) - base_i`` [N], of scores that :func:`fits`.

    Args:
        base: [N], the score of the row's positive.
        base_inside: whether the pairs hold the positive; if not, it is added to the sum.
    """
    kind = scores.queries.device.type
    room = RESIDENT.get(kind, 2**24)
    side = min(side_of(scores.queries), room // len(scores.keys))
    result: Tensor = _Resident.apply(  # type: ignore[no-untyped-call]
        scores.queries, scores.keys, scores.scale, scores.bias, base,
        scores.bounded, pairs, base_inside, side,
    )  # fmt: skip
    return result


class _Resident(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        base: Tensor,
        bounded: bool,
        pairs: Pairs,
        inside: bool,
        side: int,
    ) -> Tensor:
        _, for_y, for_scale, for_bias = ctx.needs_input_grad[:4]
        n, m = len(x), len(y)
        width = min(m, WIDTH.get(x.device.type, 4096))
        columns = list(blocks(m, width))
        buffer = x.new_empty(min(side, n) * m)
        masks = pairs.tiles(side, width)
        along = torch.zeros_like(x)  # sum_j p_ij y_j
        # Its transpose: the tiles are then factors as they lie, and the products a little faster.
        dy = y.new_zeros(y.shape[1], m) if for_y else None
        dbias = torch.zeros_like(bias) if for_bias and bias is not None else None
        lse = x.new_empty(n)
        share = x.new_empty(n)  # dl_i / dA_i
        scaled = x * scale.reshape(-1, 1)
        for rows in blocks(n, side):
            block = rows.stop - rows.start
            tiles = [buffer[block * c.start : block * c.stop].view(block, -1) for c in columns]
            top = x.new_full((block,), 0 if bounded else -torch.inf)
            shifts = []  # what has been taken off the scores of each tile
            total = x.new_zeros(block)
            for cols, e in zip(columns, tiles, strict=True):
                torch.mm(scaled[rows], y[cols].T, out=e)
                if bias is not None:
                    e.add_(bias[cols])
                fill_(e, masks.left_out(rows, cols), -torch.inf)
                if not bounded:
                    raised = torch.maximum(top, e.amax(1))
                    shift = finite(raised)
                    old = (top - shift).exp()
                    total *= old
                    along[rows] *= old[:, None]
                    e.sub_(shift[:, None])
                    shifts.append(shift)
                    top = raised
                total += e.exp_().sum(1)
                along[rows].addmm_(e, y[cols])
            top = finite(top)
            lse[rows] = total.log() + top
            share[rows] = 1 if inside else (lse[rows] - base[rows]).sigmoid()
            part = torch.where(total > 0, 1 / total, 0)
            along[rows] *= part[:, None]
            part = part * share[rows]
            weighted = scaled[rows] * part[:, None]
            for number, (cols, e) in enumerate(zip(columns, tiles, strict=True)):
                w, p = weighted, part
                if not bounded:
                    # At most 1, but in a tile that admits nothing to a row, where all e are 0.
                    late = (shifts[number] - top).clamp(max=0).exp()
                    w, p = w * late[:, None], p * late
                if dy is not None:
                    dy[:, cols].addmm_(w.T, e)
                if dbias is not None:
                    dbias[cols].addmv_(e.T, p)
        dscale = (x * along).sum(1) * share if for_scale else None
        ctx.save_for_backward(x, y, scale, bias, lse, share, along, dy, dscale, dbias)
        ctx.pairs, ctx.inside = pairs, inside
        return lse - base if inside else softplus(lse - base)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, bias, lse, share, along, dy, dscale, dbias = ctx.saved_tensors
        needs = ctx.needs_input_grad
        weight = upstream * share
        one = upstream[0]
        gradients: tuple[Tensor | None, ...]
        if bool((upstream == one).all()):
            dx = along * (weight[:, None] * scale.reshape(-1, 1)) if needs[0] else None
            if dscale is not None:
                dscale = dscale * one if scale.ndim else dscale.sum() * one
            gradients = (
                dx,
                None if dy is None else (dy.T * one).contiguous(),
                dscale,
                None if dbias is None else dbias * one,
            )
        else:
            with torch.autocast(x.device.type, enabled=False):
                gradients = gradients_of(
                    x, y, scale, bias, [Statistic("lse", ctx.pairs)], [lse], [lse], [weight],
                    needs=needs[:4], side=side_of(x),
                )  # fmt: skip
        # A row without pairs has loss softplus(-inf) = 0, whatever its base.
        dbase = -weight if needs[4] else None
        return *gradients, dbase, None, None, None, None
