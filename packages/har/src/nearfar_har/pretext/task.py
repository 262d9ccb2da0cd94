"""What every pretext task has: an encoder, and a loss of one batch of synchronous windows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nearfar_har.encoder import Encoder

__all__ = ["Pretext", "present_windows", "projection_head"]


class Pretext(nn.Module):
    """A pretext task around an encoder; calling it gives the loss of a batch.

    ``forward(signals, present, generator)`` reads signals [B, devices, 6, W], m/s^2 and rad/s
    divided by ``scale``; present [B, devices]; and takes all its randomness from ``generator``.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, signals: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        raise NotImplementedError


def present_windows(signals: Tensor, present: Tensor) -> Tensor:
    """All devices' windows in one list: [B, devices, 6, W] -> [n, 6, W]."""
    return signals[present]


def projection_head(features: int, width: int) -> nn.Module:
    """A hidden layer of twice the width, or nothing where width is 0."""
    if width == 0:
        return nn.Identity()
    return nn.Sequential(nn.Linear(features, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
