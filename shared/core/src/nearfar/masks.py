"""What a tile of pairs leaves out, in the cheapest form that says it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Diagonal", "Mask", "either", "fill", "fill_"]


@dataclass(frozen=True)
class Diagonal:
    """The pairs (r, r + offset) of a tile [n, m]: a row itself, or its other view."""

    offset: int
    shape: tuple[int, int]
    device: torch.device

    def dense(self) -> Tensor:
        """As a boolean matrix."""
        return fill_(torch.zeros(self.shape, dtype=torch.bool, device=self.device), self, True)


# A bool is one answer for the whole tile; a tensor [n, m] is True where a pair is left out.
Mask = Tensor | Diagonal | bool


def either(first: Mask, second: Mask) -> Mask:
    """What either mask of one tile leaves out."""
    if first is True or second is False:
        return first
    if second is True or first is False:
        return second
    first, second = (m.dense() if isinstance(m, Diagonal) else m for m in (first, second))
    return first | second


def fill_(values: Tensor, mask: Mask, value: float) -> Tensor:
    """``values`` [n, m], with ``value`` written where the mask leaves out."""
    if isinstance(mask, Tensor):
        values.masked_fill_(mask, value)
    elif isinstance(mask, Diagonal):
        values.diagonal(mask.offset).fill_(value)  # one that lies beside the tile is empty
    elif mask:
        values.fill_(value)
    return values


def fill(values: Tensor, mask: Mask, value: float) -> Tensor:
    """As :func:`fill_`, in a new tensor if anything is left out."""
    if mask is False:
        return values
    if isinstance(mask, Tensor):
        return values.masked_fill(mask, value)
    return fill_(values.clone(), mask, value)
