"""A convolutional autoencoder: keep what is needed to draw the window again."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from nearfar_har.encoder import Encoder
from nearfar_har.pretext.task import Pretext, present_windows

__all__ = ["Autoencoder"]


class Autoencoder(Pretext):
    def __init__(self, encoder: Encoder, *, bottleneck: int = 8) -> None:
        """``bottleneck``: time steps that the feature map is squeezed to before decoding."""
        super().__init__(encoder)
        self.bottleneck = bottleneck
        width = encoder.map_width
        self.narrow = nn.Sequential(nn.Conv1d(width, width // 2, 3, padding=1), nn.ReLU())
        self.draw = nn.Conv1d(width // 2, 6, 5, padding=2)

    def forward(self, signals: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        x = present_windows(signals, present)
        h = self.encoder.feature_map(x)
        h = self.narrow(interpolate(h, size=min(self.bottleneck, h.shape[-1]), mode="linear"))
        return mse_loss(self.draw(interpolate(h, size=x.shape[-1], mode="linear")), x)
