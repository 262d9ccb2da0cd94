"""The core operation tile by tile, on any device: memory linear in N + M, exact gradients.

Forward keeps row statistics only. Backward makes each tile of scores again and forms there

    G_ij = dA_i p_ij + dM_i p_ij (1 + s_ij - M_i) + dB_i + dQ_i t sigmoid(t s_ij),
    p_ij = exp(s_ij + log_weight_j - A_i),

each term over the pairs of its own rule; then dX_i = k_i sum_j G_ij y_j, dY_j = sum_i k_i G_ij x_i,
dk_i = sum_j G_ij <x_i, y_j> = <x_i, dX_i> / k_i and dc_j = sum_i G_ij.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nearfar.masks import Mask, fill, fill_
from nearfar.pairs import Tiles
from nearfar.softplus import softplus
from nearfar.statistic import Scores, Statistic

__all__ = ["TILE", "blocks", "finite", "gradients_of", "row_statistics", "side_of", "tiles_of"]

# Square tiles that stay in a CPU's cache; a GPU wants fewer and larger ones.
TILE = {"cpu": 512, "cuda": 8192}


def row_statistics(
    scores: Scores, statistics: Sequence[Statistic], *, tile: int | None = None
) -> tuple[Tensor, ...]:
    """One tensor [N] a statistic. ``tile`` is the side of a tile of scores."""
    side = tile or side_of(scores.queries)
    outputs: tuple[Tensor, ...] = _Stream.apply(  # type: ignore[no-untyped-call]
        scores.queries, scores.keys, scores.scale, scores.bias,
        scores.bounded, tuple(statistics), side,
    )  # fmt: skip
    return outputs


def side_of(rows: Tensor) -> int:
    """The side of a tile on the device of ``rows``."""
    return TILE.get(rows.device.type, 4096)


def blocks(size: int, side: int) -> Iterator[slice]:
    """0 to ``size`` in slices of ``side``, the last may be shorter."""
    for start in range(0, size, side):
        yield slice(start, min(start + side, size))


def tiles_of(statistics: Sequence[Statistic], side: int) -> list[Tiles]:
    """The masks of each statistic's pairs."""
    return [statistic.pairs.tiles(side) for statistic in statistics]


def _of_rows(scale: Tensor, rows: slice) -> Tensor:
    return scale[rows, None] if scale.ndim else scale


def _tile(x: Tensor, y: Tensor, scale: Tensor, bias: Tensor | None, cols: slice) -> Tensor:
    s = (x @ y[cols].T).mul_(scale)  # n x m
    return s if bias is None else s.add_(bias[cols])


class _Stream(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        bounded: bool,
        statistics: tuple[Statistic, ...],
        side: int,
    ) -> tuple[Tensor, ...]:
        values: list[list[Tensor]] = [[] for _ in statistics]
        normalisers: list[list[Tensor]] = [[] for _ in statistics]
        masks = tiles_of(statistics, side)
        for rows in blocks(len(x), side):
            k = _of_rows(scale, rows)
            states = [
                # A weight moves the scores off the bound, down to where exp underflows.
                _State(x[rows], bounded and statistic.log_weight is None)
                for statistic in statistics
            ]
            for cols in blocks(len(y), side):
                s: Tensor | None = None
                for statistic, state, tiles in zip(statistics, states, masks, strict=True):
                    mask = tiles.left_out(rows, cols)
                    if mask is True:
                        continue
                    if s is None:  # tiles that no statistic wants are never made
                        s = _tile(x[rows], y, k, bias, cols)
                    state.add(s, statistic, mask, rows, cols)
            for n, (statistic, state) in enumerate(zip(statistics, states, strict=True)):
                value, normaliser = state.close(statistic)
                values[n].append(value)
                normalisers[n].append(normaliser)
        outputs = tuple(torch.cat(parts) for parts in values)
        ctx.save_for_backward(x, y, scale, bias, *outputs, *(torch.cat(p) for p in normalisers))
        ctx.statistics, ctx.side = statistics, side
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, bias, *rest = ctx.saved_tensors
        count = len(ctx.statistics)
        with torch.autocast(x.device.type, enabled=False):
            gradients = gradients_of(
                x, y, scale, bias, ctx.statistics, rest[:count], rest[count:], upstream,
                needs=ctx.needs_input_grad[:4], side=ctx.side,
            )  # fmt: skip
        return *gradients, None, None, None


def gradients_of(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    statistics: Sequence[Statistic],
    outputs: Sequence[Tensor],
    normalisers: Sequence[Tensor],
    upstream: Sequence[Tensor],
    *,
    needs: Sequence[bool],
    side: int,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Gradients to queries, keys, scale and bias, of which ``needs`` says which are wanted.

    ``normalisers`` are the log-sum-exps of the statistics that have one.
    """
    # -inf (a row without pairs) would make exp(-inf + inf); its p_ij are all masked to zero.
    normalisers = [finite(a) for a in normalisers]
    for_x, for_y, for_scale, for_bias = needs
    along = torch.zeros_like(x) if for_x or for_scale else None  # sum_j G_ij y_j
    dy = torch.zeros_like(y) if for_y else None
    dbias = torch.zeros_like(bias) if for_bias and bias is not None else None
    masks = tiles_of(statistics, side)
    for rows in blocks(len(x), side):
        k = _of_rows(scale, rows)
        scaled = x[rows] * k
        for cols in blocks(len(y), side):
            g: Tensor | None = None
            s: Tensor | None = None
            for statistic, tiles, value, a, du in zip(
                statistics, masks, outputs, normalisers, upstream, strict=True
            ):
                mask = tiles.left_out(rows, cols)
                if mask is True:
                    continue
                if s is None:
                    s = _tile(x[rows], y, k, bias, cols)
                part = _score_gradient(
                    s, statistic, mask, rows, cols,
                    value[rows, None], a[rows, None], du[rows, None],
                )  # fmt: skip
                g = part if g is None else g.add_(part)
            if g is None:
                continue
            if along is not None:
                along[rows].addmm_(g, y[cols])
            if dy is not None:
                dy[cols].addmm_(g.T, scaled)
            if dbias is not None:
                dbias[cols] += g.sum(0)
    dx = along * _of_rows(scale, slice(None)) if for_x and along is not None else None
    dscale = None
    if for_scale and along is not None:
        dscale = (x * along).sum(1)
        dscale = dscale if scale.ndim else dscale.sum()
    return dx, dy, dscale, dbias


class _State:
    """The running statistic of a block of rows.

    ``total`` is a plain sum (moment, softplus), or the sum of exp(s - shift) with ``first`` the sum
    of s exp(s - shift). The shift is the running maximum, or 0 where the scores are bounded.
    """

    def __init__(self, x: Tensor, bounded: bool) -> None:
        self.bounded = bounded
        self.shift = x.new_full((len(x), 1), 0 if bounded else -torch.inf)
        self.total = x.new_zeros(len(x), 1)
        self.first = x.new_zeros(len(x), 1)

    def add(self, s: Tensor, statistic: Statistic, mask: Mask, rows: slice, cols: slice) -> None:
        match statistic.kind:
            case "moment":
                self.total += fill(s, mask, 0).sum(1, keepdim=True)
            case "softplus":
                self.total += fill(softplus(s), mask, 0).sum(1, keepdim=True)
            case "softminus":
                self.total += fill(softplus(-s), mask, 0).sum(1, keepdim=True)
            case "lse" | "mean":
                weight = statistic.weight_tile(rows, cols, s.dtype)
                logits = fill(s if weight is None else s + weight, mask, -torch.inf)
                if self.bounded:
                    e = logits.exp()
                else:
                    self._raise_shift(logits.amax(1, keepdim=True))
                    e = torch.sub(logits, finite(self.shift)).exp_()
                self.total += e.sum(1, keepdim=True)
                if statistic.kind == "mean":
                    self.first += e.mul_(s).sum(1, keepdim=True)

    def _raise_shift(self, top: Tensor) -> None:
        shift = torch.maximum(self.shift, top)
        old = (self.shift - finite(shift)).exp()
        self.total *= old
        self.first *= old
        self.shift = shift

    def close(self, statistic: Statistic) -> tuple[Tensor, Tensor]:
        """The statistic [n] and, where it has one, its log-normaliser [n]."""
        if statistic.kind not in ("lse", "mean"):
            return self.total.squeeze(1), self.total.squeeze(1)
        lse = (self.total.log() + self.shift).squeeze(1)
        if statistic.kind == "lse":
            return lse, lse
        some = self.total > 0
        mean = torch.where(some, self.first, 0) / torch.where(some, self.total, 1)
        return mean.squeeze(1), lse


def finite(shift: Tensor) -> Tensor:
    """A row with no pair yet has shift -inf: exp(-inf - 0) is 0 where exp(-inf + inf) is NaN."""
    return torch.where(shift.isinf(), 0, shift)


def _score_gradient(
    s: Tensor,
    statistic: Statistic,
    mask: Mask,
    rows: slice,
    cols: slice,
    value: Tensor,
    a: Tensor,
    upstream: Tensor,
) -> Tensor:
    """This statistic's part of G, a new tensor [n, m]."""
    match statistic.kind:
        case "moment":
            g = upstream.expand_as(s).clone()
        case "softplus":
            g = s.sigmoid().mul_(upstream)
        case "softminus":
            g = s.neg().sigmoid_().mul_(-upstream)
        case "lse" | "mean":
            weight = statistic.weight_tile(rows, cols, s.dtype)
            g = s - a if weight is None else (s + weight).sub_(a)
            g = g.exp_()
            if statistic.kind == "mean":
                g.mul_(s - value + 1)
            # A masked score may be far over the normaliser: its exp is inf, and inf times a zero
            # gradient NaN. Masking after every product leaves exact zeros.
            g.mul_(upstream)
    return fill_(g, mask, 0)
