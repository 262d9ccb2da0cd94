"""A teacher that follows its student: the exponential moving average of an encoder."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

__all__ = ["EMA"]


class EMA(nn.Module):
    """A copy of ``encoder`` whose weights follow it: ``w <- momentum w + (1 - momentum) student``.

    MoCo's key encoder (He et al. 2020, arXiv 1911.05722), BYOL's and DINO's teacher. The copy has
    no gradients; buffers (BatchNorm's statistics) are taken over as they are. Call :meth:`update`
    after each optimizer step.

    Example:
        >>> student = nn.Linear(2, 2)
        >>> teacher = EMA(student, momentum=0.9)
        >>> teacher.update(student)
    """

    def __init__(self, encoder: nn.Module, *, momentum: float = 0.999) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}; expected 0 to 1")
        self.momentum = momentum
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)

    @torch.no_grad()
    def update(self, student: nn.Module, momentum: float | None = None) -> None:
        """Moves towards ``student``; ``momentum`` stands over the one kept, for a schedule."""
        m = self.momentum if momentum is None else momentum
        mine, theirs = dict(self.encoder.named_parameters()), dict(student.named_parameters())
        if mine.keys() != theirs.keys():
            missing = sorted(mine.keys() ^ theirs.keys())[0]
            raise ValueError(f"student: parameter {missing} is in one alone; expected the encoder")
        for name, weight in mine.items():
            weight.lerp_(theirs[name].to(weight), 1 - m)
        buffers = dict(student.named_buffers())
        for name, buffer in self.encoder.named_buffers():
            buffer.copy_(buffers[name])

    @torch.no_grad()
    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        return self.encoder(*inputs, **keywords)
