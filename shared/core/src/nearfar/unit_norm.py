"""Rows scaled to unit norm, in half the passes of torch's normalize."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["to_unit_norm"]

# As torch's normalize: a row of zeros stays one.
LEAST = 1e-12


def to_unit_norm(x: Tensor) -> Tensor:
    """``u_i = x_i / max(|x_i|, 1e-12)`` of rows [N, D]."""
    unit: Tensor = _UnitNorm.apply(x)  # type: ignore[no-untyped-call]
    return unit


class _UnitNorm(torch.autograd.Function):
    """dx_i = (du_i - u_i <u_i, du_i>) / |x_i|."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        unit: Tensor = x / norm.clamp_min(LEAST)
        ctx.save_for_backward(unit, norm)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        unit, norm = ctx.saved_tensors
        along = (unit * upstream).sum(1, keepdim=True)
        along = torch.where(norm > LEAST, -along, 0)  # a row so short is scaled by a constant
        tangent: Tensor = torch.addcmul(upstream, unit, along)
        return tangent.div_(norm.clamp_min(LEAST))
