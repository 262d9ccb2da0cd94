"""AMCL: several projection heads, each with a temperature of its own for every anchor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nearfar.batch import Group
from nearfar.distributed import global_batch
from nearfar.losses.nt_xent import nt_xent
from nearfar.reduction import reduce
from nearfar.temperature import AnchorTemperature

__all__ = ["AMCL"]


class AMCL(nn.Module):
    """``sum over heads of NT-Xent(z, tau(z)) + beta mean( d/2 log tau + 1 / tau )``.

    Adaptive multi-head contrastive learning, Wang et al. 2023 (arXiv 2310.05615). Heads of their
    own let views that differ in different ways be alike in one head and not in another; the
    temperature is learned from the anchor, and the second term keeps it from 0 and from its bound.
    The paper's temperature of pairs would need a network on every pair; the anchor's streams.

    Args:
        width: columns D of the rows that come in.
        head_width: d, of each head's rows; None: D.
        heads: how many.
        beta: weight of the second term.
        group: processes whose batches together are the batch.

    Example:
        >>> loss = AMCL(8, heads=2)
        >>> a, b = torch.randn(2, 5, 8)
        >>> loss(a, b).shape
        torch.Size([])
    """

    def __init__(
        self,
        width: int,
        head_width: int | None = None,
        *,
        heads: int = 3,
        beta: float = 0.1,
        group: Group = None,
    ) -> None:
        super().__init__()
        if heads < 1:
            raise ValueError(f"heads is {heads}; expected at least 1")
        self.head_width, self.beta, self.group = head_width or width, beta, group
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.head_width))
            for _ in range(heads)
        )
        self.temperatures = nn.ModuleList(AnchorTemperature(self.head_width) for _ in range(heads))

    def forward(self, view_a: Tensor, view_b: Tensor) -> Tensor:
        """Views [N, D] -> the loss []."""
        parts = []
        for head, temperature in zip(self.heads, self.temperatures, strict=True):
            a, b = head(view_a), head(view_b)
            tau = temperature(torch.cat([a, b]))
            contrast = nt_xent(a, b, temperature=tau, group=self.group)
            parts.append(contrast + self.beta * _held(tau, self.head_width, group=self.group))
        return torch.stack(parts).sum()


@global_batch("tau")
def _held(tau: Tensor, width: int, *, group: Group = None) -> Tensor:
    """What keeps temperatures [N] from 0 and from their bound."""
    return reduce(width / 2 * tau.log() + 1 / tau, "mean")
