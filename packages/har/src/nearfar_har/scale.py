"""Scaling: signals in physical units to numbers around 1, by one factor a kind of sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nearfar_har.windows import Windows

__all__ = ["Scale"]


@dataclass(frozen=True)
class Scale:
    """Acceleration and angular rate are divided by one number each, the same for all devices.

    How hard a leg moves against an arm is kept, and a device never seen in training is scaled like
    the others.
    """

    acceleration: float  # m/s^2
    rate: float  # rad/s

    @classmethod
    def of(cls, windows: Windows) -> Scale:
        """The root mean squares over the windows that are present, robust to sensor faults."""
        present = windows.signals[windows.present]  # n x 6 x W
        return cls(_typical(present[:, :3]), _typical(present[:, 3:]))

    def apply(self, signals: np.ndarray) -> Tensor:
        """[..., 6, W] in physical units -> float32 tensor."""
        factors = np.repeat([1 / self.acceleration, 1 / self.rate], 3).astype(np.float32)
        return torch.from_numpy(signals * factors[:, None])


def _typical(signals: np.ndarray) -> float:
    squares = np.square(signals).sum(1)  # n x W
    # A sensor stuck at full range for a while must not set the scale for all.
    value = float(np.sqrt(np.minimum(squares, np.quantile(squares, 0.99)).mean()))
    return value if value > 0 else 1.0  # no gyroscope anywhere
