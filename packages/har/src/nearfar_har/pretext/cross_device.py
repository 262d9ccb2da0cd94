"""Plain cross-device InfoNCE: find your own moment among another device's windows.

What ColloSSL is without device selection, weights and other devices' negatives: each device is
contrasted with one other by chance, both ways, all other moments of the batch being negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor

import nearfar.functional as F
from nearfar_har.encoder import Encoder
from nearfar_har.pretext.task import Pretext, projection_head

__all__ = ["CrossDevice"]


class CrossDevice(Pretext):
    def __init__(self, encoder: Encoder, *, temperature: float = 0.1, projection: int = 64) -> None:
        super().__init__(encoder)
        self.head = projection_head(encoder.features, projection)
        self.temperature = temperature

    def forward(self, signals: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        rows, devices = present.shape
        embedded = self.head(self.encoder(signals.transpose(0, 1).flatten(0, 1)))
        z = embedded.unflatten(0, (devices, rows))  # devices x B x D
        order = torch.randperm(devices, generator=generator)
        losses = []
        # Neighbours in a random ring: every device is contrasted with two others.
        for a, b in zip(order.tolist(), order.roll(1).tolist(), strict=True):
            moments = present[:, a] & present[:, b]
            if a != b and moments.sum() >= 2:
                losses.append(
                    F.info_nce(
                        z[a, moments], z[b, moments], temperature=self.temperature, symmetric=True
                    )
                )
        return torch.stack(losses).mean() if losses else embedded.sum() * 0
