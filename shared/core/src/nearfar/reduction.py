"""From one loss a row to the loss."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from nearfar.batch import count_of, size_of, total_of

__all__ = ["Reduction", "reduce"]

Reduction = Literal["mean", "sum", "none"]


def reduce(losses: Tensor, reduction: Reduction, *, valid: Tensor | None = None) -> Tensor:
    """``mean``, ``sum`` or ``none`` of losses [N]; rows that are not ``valid`` [N] don't count.

    A row that cannot have a loss (no positive) is zero in ``none``, and counted out of the mean.
    """
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction is {reduction!r}; expected one of {get_args(Reduction)}")
    if valid is not None:
        losses = torch.where(valid, losses, 0)
    if reduction == "none":
        return losses
    total = total_of(losses.sum())
    if reduction == "sum":
        return total
    if valid is None:
        return total / max(1, size_of(losses))
    return total / count_of(valid).clamp(min=1)
