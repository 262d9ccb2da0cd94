"""Temperatures that move: learned within bounds, or on a schedule.

Either goes in as a loss module's ``temperature=``: the loss calls it for its value.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["AnchorTemperature", "LearnedTemperature", "ScheduledTemperature"]


class LearnedTemperature(nn.Module):
    """A temperature learned as its logarithm and kept within bounds.

    Outside the bounds the gradient is stopped only where it would lead further out, so that a
    temperature at a bound can come back. CLIP's own bounds are 1/100 on the low side.

    Args:
        initial: where it begins. lowest, highest: the bounds.

    Example:
        >>> t = LearnedTemperature(0.07)
        >>> t()
        tensor(0.0700, grad_fn=<ExpBackward0>)
    """

    def __init__(
        self, initial: float = 0.07, *, lowest: float = 0.01, highest: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 < lowest <= initial <= highest:
            raise ValueError(f"initial is {initial}; expected {lowest} to {highest}, above 0")
        self.log = nn.Parameter(torch.tensor(math.log(initial)))
        self.lowest, self.highest = lowest, highest

    def forward(self) -> Tensor:
        with torch.no_grad():  # an optimizer's step may have left the bounds
            self.log.clamp_(math.log(self.lowest), math.log(self.highest))
        return self.log.exp()

    def extra_repr(self) -> str:
        return f"{float(self.log.exp()):.4g}, lowest={self.lowest}, highest={self.highest}"


class AnchorTemperature(nn.Module):
    """A temperature for each row, learned from the row: ``lowest`` to 2 through a small network.

    Of AMCL (Wang et al. 2023, arXiv 2310.05615). Without a term that holds it, it runs to a bound;
    see ``nearfar.AMCL``.

    Args:
        width: columns of the rows. hidden: of the network between.

    Example:
        >>> AnchorTemperature(8)(torch.randn(5, 8)).shape
        torch.Size([5])
    """

    def __init__(self, width: int, *, hidden: int = 64, lowest: float = 1e-5) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.lowest = lowest

    def forward(self, rows: Tensor) -> Tensor:
        """Rows [N, D] -> temperatures [N]."""
        logits: Tensor = self.layers(rows)[:, 0]
        share = logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()
        return self.lowest + (2 - self.lowest) * share


class ScheduledTemperature(nn.Module):
    """A temperature that swings between two values by a cosine, Kukleva et al. 2023 (2303.13664).

    High temperatures tell groups apart, low ones instances; on long-tailed data the swing serves
    both. Call :meth:`step` once a training step.

    Args:
        low, high: the two values. period: steps from high to high.

    Example:
        >>> t = ScheduledTemperature(0.1, 1.0, period=100)
        >>> float(t())
        1.0
    """

    done: Tensor

    def __init__(self, low: float = 0.1, high: float = 1.0, *, period: int = 400) -> None:
        super().__init__()
        if not 0 < low <= high or period < 1:
            raise ValueError(f"low {low}, high {high}, period {period}; expected 0 < low <= high")
        self.low, self.high, self.period = low, high, period
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def step(self) -> None:
        self.done += 1

    def forward(self) -> Tensor:
        phase = (1 + torch.cos(2 * math.pi * self.done / self.period)) / 2
        return self.low + (self.high - self.low) * phase
