"""The core operation by Triton kernels on a CUDA device. Imported only where it is used.

Scores are made again in the backward pass, once for each side that wants a gradient, by a program
that owns a block of that side's rows: deterministic, and nothing of size N x M anywhere. Rows
against themselves want one pass, ``dZ = k (G + G^T) Z``: 6 N^2 D operations forward and backward;
one way with both gradients 10 N M D; both ways 12 N M D.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nearfar import triton_kernels as kernels
from nearfar.pairs import Pairs
from nearfar.precision import current
from nearfar.statistic import Scores, Statistic

__all__ = ["fits", "row_statistics", "two_way"]

# exp of so large a difference of log-sum-exps, and its inverse, are normal float32 numbers.
NEAR = 60.0
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def fits(scores: Scores, statistics: Sequence[Statistic]) -> bool:
    """Whether the kernels can take these: float32 or half, weights of columns alone, no lists."""
    return scores.queries.dtype is torch.float32 and all(
        not statistic.pairs.lists
        and (statistic.log_weight is None or isinstance(statistic.log_weight, Tensor))
        for statistic in statistics
    )


def row_statistics(scores: Scores, statistics: Sequence[Statistic]) -> tuple[Tensor, ...]:
    """One tensor [N] a statistic."""
    outputs: tuple[Tensor, ...] = _Rows.apply(  # type: ignore[no-untyped-call]
        scores.queries, scores.keys, scores.scale, scores.bias,
        tuple(statistics), scores.queries is scores.keys,
    )  # fmt: skip
    return outputs


def two_way(scores: Scores, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """The log-sum-exp of each row [N] and of each column [M] of scores without bias."""
    rows, cols = _TwoWay.apply(  # type: ignore[no-untyped-call]
        scores.queries, scores.keys, scores.scale, pairs
    )
    return rows, cols


class _Problem:
    """Two matrices in the type of their products, and what lies between them."""

    def __init__(
        self, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor | None, products: torch.dtype | None
    ) -> None:
        kind = products or torch.float32
        self.rows = x.to(kind).contiguous()
        self.cols = self.rows if y is x else y.to(kind).contiguous()
        # A number of the host's is no address of the device's.
        self.scale = scale.detach().to(x).contiguous()
        self.bias = None if bias is None else bias.to(x).contiguous()
        # What torch.set_float32_matmul_precision says of products holds here too.
        tf32 = torch.get_float32_matmul_precision() != "highest"
        self.forward = {"PRECISION": "tf32" if tf32 else "ieee", "UPCAST": INTERPRETED}
        # Gradients of a large batch's scores are below float16's least number. TF32 has float16's
        # digits and float32's range.
        narrow = kind is torch.float16
        self.backward = {"PRECISION": "tf32", "UPCAST": True} if narrow else self.forward

    def statistic(
        self, kind: str, pairs: Pairs, weight: Tensor | None, turned: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The statistic [rows] and its log-sum-exp; ``turned``: of columns over rows, no bias."""
        own, other = (self.cols, self.rows) if turned else (self.rows, self.cols)
        n, m, width = len(own), len(other), own.shape[1]
        value, lse = (torch.zeros(n, device=own.device) for _ in "vl")
        side = "other" if turned else "own"
        rows, cols, depth, warps = _forward_tile(width, own.dtype)
        kernels.row_statistic[(_blocks(n, rows),)](
            own, other, *self._codes(pairs, turned), self.scale, self._or(self.bias),
            self._or(weight), value, lse, n, m, width,
            KIND=kind, SCALE=side if self.scale.ndim else "one",
            HAS_BIAS=self.bias is not None, HAS_WEIGHT=weight is not None, **_matches(pairs),
            ROWS=rows, COLS=cols, DEPTH=depth, **self.forward, num_warps=warps,
        )  # fmt: skip
        return (lse, lse) if kind == "lse" else (value, lse)

    def gradient(
        self,
        kind: str,
        pairs: Pairs,
        weight: Tensor | None,
        of_rows: tuple[Tensor, Tensor, Tensor] | None,
        of_cols: tuple[Tensor, Tensor, Tensor] | None,
        *,
        turned: bool = False,
        wants_sum: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """``sum_j G_ij k_j other_j`` [own, D] and ``sum_j G_ij`` [own]; see the kernel.

        ``of_rows`` and ``of_cols`` are each side's log-sum-exp, value and upstream gradient.
        """
        own, other = (self.cols, self.rows) if turned else (self.rows, self.cols)
        mine, theirs = (of_cols, of_rows) if turned else (of_rows, of_cols)
        n, m, width = len(own), len(other), own.shape[1]
        along = torch.empty(n, width, device=own.device)
        sums = torch.zeros(n if wants_sum else 1, device=own.device)
        near, shift = self.scale, self.scale
        if kind == "lse" and mine is not None and theirs is not None:
            both = torch.cat([mine[0], theirs[0]])
            shift = both.max()
            least = torch.where(both.isinf(), shift, both).min()
            near = (shift - least < NEAR).to(torch.int32)

        def side(given: tuple[Tensor, Tensor, Tensor] | None) -> tuple[Tensor, ...]:
            if given is None:
                return self.scale, self.scale, self.scale  # not read
            lse, value, upstream = given
            if kind == "lse":
                value = torch.where(lse.isinf(), 0, upstream * (shift - lse).exp())
            # A row without pairs would make exp(-inf + inf).
            return torch.where(lse.isinf(), 0, lse), value, upstream.contiguous()

        rows, cols, depth, wide, warps = _backward_tile(width, own.dtype)
        kernels.owner_gradient[(_blocks(n, rows), _blocks(width, wide))](
            own, other, *self._codes(pairs, turned), self.scale, self._or(self.bias),
            self._or(weight), *side(mine), *side(theirs), near, shift, along, sums,
            n, m, width, KIND=kind,
            SCALE=("other" if turned else "own") if self.scale.ndim else "one",
            BIAS="none" if self.bias is None else "own" if turned else "other",
            WEIGHT="none" if weight is None else "own" if turned else "other",
            OWN=mine is not None, OTHER=theirs is not None, WANTS_SUM=wants_sum,
            **_matches(pairs), ROWS=rows, COLS=cols, DEPTH=depth, WIDTH=wide,
            **self.backward, num_warps=warps,
        )  # fmt: skip
        return along, sums

    def _or(self, given: Tensor | None) -> Tensor:
        """A kernel wants an address even for what it does not read."""
        return self.scale if given is None else given.to(torch.float32).contiguous()

    def _codes(self, pairs: Pairs, turned: bool) -> tuple[Tensor, Tensor]:
        if not pairs.matches:
            return self.scale, self.scale
        rows = torch.stack([match.rows for match in pairs.matches])
        cols = torch.stack([match.cols for match in pairs.matches])
        return (cols, rows) if turned else (rows, cols)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        statistics: tuple[Statistic, ...],
        same: bool,
    ) -> tuple[Tensor, ...]:
        ctx.products = current()
        problem = _Problem(x, x if same else y, scale, bias, ctx.products)
        done = [problem.statistic(s.kind, s.pairs, _weight(s)) for s in statistics]
        values = tuple(value for value, _ in done)
        ctx.save_for_backward(x, y, scale, bias, *values, *(lse for _, lse in done))
        ctx.statistics, ctx.same = statistics, same
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, bias, *rest = ctx.saved_tensors
        count = len(ctx.statistics)
        values, lses = rest[:count], rest[count:]
        for_x, for_y, for_scale, for_bias = ctx.needs_input_grad[:4]
        problem = _Problem(x, x if ctx.same else y, scale, bias, ctx.products)
        k = scale.reshape(-1, 1)
        along = torch.zeros_like(x) if for_x or for_scale else None
        dx, dy = (torch.zeros_like(t) if wanted else None for t, wanted in ((x, for_x), (y, for_y)))
        dbias = torch.zeros_like(bias) if for_bias and bias is not None else None
        dscale: Tensor | None = None
        for s, value, lse, du in zip(ctx.statistics, values, lses, upstream, strict=True):
            common = (s.kind, s.pairs, _weight(s))
            of_rows = (lse, value, du)
            if ctx.same and dx is not None and dy is not None and _symmetric(s, scale, bias):
                # Both sides' gradients at once: autograd adds dx and dy, one of them is enough.
                both, _ = problem.gradient(*common, of_rows, of_rows)
                dx += both * k
                if for_scale:  # each pair stands twice in it
                    part = (x * both).sum() / 2
                    dscale = part if dscale is None else dscale + part
                continue
            if along is not None:
                one, _ = problem.gradient(*common, of_rows, None)
                along += one
            if dy is not None or dbias is not None:
                one, sums = problem.gradient(
                    *common, of_rows, None, turned=True, wants_sum=dbias is not None
                )
                if dy is not None:
                    dy += one if scale.ndim else one * scale
                if dbias is not None:
                    dbias += sums
        if dx is not None and along is not None:
            dx += along * k
        if for_scale and along is not None:
            part = (x * along).sum(1)
            part = part if scale.ndim else part.sum()
            dscale = part if dscale is None else dscale + part
            dscale = dscale.to(scale)
        return dx, dy, dscale, dbias, None, None


class _TwoWay(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, scale: Tensor, pairs: Pairs
    ) -> tuple[Tensor, Tensor]:
        ctx.products, ctx.pairs = current(), pairs
        problem = _Problem(x, y, scale, None, ctx.products)
        of_rows, _ = problem.statistic("lse", pairs, None)
        of_cols, _ = problem.statistic("lse", pairs, None, turned=True)
        ctx.save_for_backward(x, y, scale, of_rows, of_cols)
        return of_rows, of_cols

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_rows: Tensor, d_cols: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, of_rows, of_cols = ctx.saved_tensors
        problem = _Problem(x, y, scale, None, ctx.products)
        common = ("lse", ctx.pairs, None)
        sides = (of_rows, of_rows, d_rows), (of_cols, of_cols, d_cols)
        for_x, for_y, for_scale = ctx.needs_input_grad[:3]
        dx = dy = dscale = None
        if for_x or for_scale:
            along, _ = problem.gradient(*common, *sides)
            dx = along * scale
            dscale = (x * along).sum().to(scale) if for_scale else None
        if for_y:
            dy, _ = problem.gradient(*common, *sides, turned=True)
            dy = dy * scale
        return dx if for_x else None, dy, dscale, None


def _symmetric(statistic: Statistic, scale: Tensor, bias: Tensor | None) -> bool:
    return (
        scale.ndim == 0
        and bias is None
        and statistic.log_weight is None
        and statistic.pairs.symmetric
    )


def _weight(statistic: Statistic) -> Tensor | None:
    weight = statistic.log_weight
    assert weight is None or isinstance(weight, Tensor)  # see fits
    return weight


def _matches(pairs: Pairs) -> dict[str, int]:
    bits = sum(1 << k for k, match in enumerate(pairs.matches) if match.equal)
    return {"MATCHES": len(pairs.matches), "EQUAL": bits}


def _blocks(size: int, side: int) -> int:
    return -(-size // side)


def _power(size: int, low: int, high: int) -> int:
    """The least power of two that holds ``size``, within bounds."""
    return min(high, max(low, 1 << max(0, size - 1).bit_length()))


def _forward_tile(width: int, kind: torch.dtype) -> tuple[int, int, int, int]:
    """Rows, columns and depth of a tile, and warps."""
    if INTERPRETED:
        return 16, 16, 16, 1
    half = kind is not torch.float32
    return 128, 128 if half else 64, _power(width, 16, 64 if half else 32), 8


def _backward_tile(width: int, kind: torch.dtype) -> tuple[int, int, int, int, int]:
    """Rows, columns and depth of a tile, columns of the gradient that a program owns, warps."""
    if INTERPRETED:
        return 16, 16, 16, 32, 1
    half = kind is not torch.float32
    wide = _power(width, 16, 256 if half else 128)
    return 64, 64 if half else 32, _power(width, 16, 64 if half else 32), wide, 8
