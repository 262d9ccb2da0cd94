"""SimCLR on single windows: two augmented views of each, no use of the other devices.

Chen et al. 2020 (arXiv 2002.05709), with the augmentations usual for inertial sensors (Tang et al.
2020, arXiv 2011.11542): a random rotation of the sensor and a change of scale, then noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

import nearfar.functional as F
from nearfar_har.augment import jitter, magnitude, rotate
from nearfar_har.encoder import Encoder
from nearfar_har.pretext.task import Pretext, present_windows, projection_head

__all__ = ["SimCLR"]


class SimCLR(Pretext):
    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float = 0.1,
        projection: int = 64,
        angle: float = 0.6,
    ) -> None:
        """``angle``: spread of the random rotation, radians."""
        super().__init__(encoder)
        self.head = projection_head(encoder.features, projection)
        self.temperature = temperature
        self.angle = angle

    def forward(self, signals: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        # Two views of half of the windows: as many passes through the encoder as the other tasks.
        x = present_windows(signals[::2], present[::2])
        views = [
            jitter(magnitude(rotate(x, self.angle, generator), 0.2, generator), 0.05, generator)
            for _ in range(2)
        ]
        a, b = (self.head(self.encoder(v)) for v in views)
        return F.nt_xent(a, b, temperature=self.temperature)
