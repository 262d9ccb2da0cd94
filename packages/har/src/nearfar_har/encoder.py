"""Encoders: a window of one device to one vector.

Both read [n, 6, W] (scaled acceleration x y z and angular rate x y z, W samples) and give
[n, features]. They are a list of stages and a pooling, so that fine-tuning can train the last stage
on what the frozen ones put out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nearfar_kit.errors import UserError

__all__ = ["ENCODERS", "Encoder", "ResidualStatistics", "TransformNet", "make_encoder"]


class Encoder(nn.Module):
    """Stages over time, then a pooling over time."""

    stages: nn.ModuleList
    features: int  # width of the pooled vector
    map_width: int  # channels of the feature map
    shortest: int  # samples a window needs at least

    def feature_map(self, x: Tensor, first: int = 0) -> Tensor:
        """[n, 6, W] -> [n, map_width, T], from stage ``first`` on."""
        for stage in self.stages[first:]:
            x = stage(x)
        return x

    def frozen_part(self, x: Tensor, trained: int) -> Tensor:
        """What the last ``trained`` stages read."""
        for stage in self.stages[: len(self.stages) - trained]:
            x = stage(x)
        return x

    def pool(self, h: Tensor) -> Tensor:
        """[n, map_width, T] -> [n, features]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.feature_map(x))


class TransformNet(Encoder):
    """ColloSSL's encoder: three convolutions without padding, global maximum.

    Saeed, Ozcelebi, Lukkien 2019 (arXiv 1907.11879), as used by Jain et al. 2022. ReLU and maximum
    leave vectors without negative numbers, so no two are further apart than orthogonal.
    """

    shortest = 46

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        shape = ((6, 32, 24), (32, 64, 16), (64, 96, 8))
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv1d(i, o, kernel), nn.ReLU(), nn.Dropout(dropout))
            for i, o, kernel in shape
        )
        self.features = self.map_width = 96

    def pool(self, h: Tensor) -> Tensor:
        return h.amax(-1)


class _Residual(nn.Module):
    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv1d(width, width, kernel, padding=kernel // 2), nn.BatchNorm1d(width), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.branch(x)
        return x + h


class ResidualStatistics(Encoder):
    """A small residual network whose pooling keeps mean, maximum and spread of every channel.

    The mean keeps posture (the direction of gravity), the spread how hard one moves: what a global
    maximum throws away and hand-made features keep. The stem halves the rate.
    """

    shortest = 4

    def __init__(self, width: int = 48, blocks: int = 2, kernel: int = 5) -> None:
        super().__init__()
        stem = nn.Sequential(
            nn.Conv1d(6, width, 7, stride=2, padding=3), nn.BatchNorm1d(width), nn.ReLU()
        )
        self.stages = nn.ModuleList([stem, *(_Residual(width, kernel) for _ in range(blocks))])
        self.map_width = width
        self.features = 3 * width

    def pool(self, h: Tensor) -> Tensor:
        mean = h.mean(-1)
        variance = (h.square().mean(-1) - mean.square()).clamp(min=0)
        # The square root of a constant channel would have an infinite slope.
        return torch.cat([mean, h.amax(-1), (variance + 1e-5).sqrt()], dim=1)


ENCODERS: dict[str, type[Encoder]] = {
    "residual": ResidualStatistics,
    "transform_net": TransformNet,
}


def make_encoder(name: str, samples: int) -> Encoder:
    """The encoder of that name for windows of so many samples."""
    encoder = ENCODERS[name]()
    if samples < encoder.shortest:
        others = [n for n, e in ENCODERS.items() if e.shortest <= samples]
        raise UserError(
            f"windows of {samples} samples are too short for encoder {name}; expected at least "
            f"{encoder.shortest} samples" + _instead(others)
        )
    return encoder


def _instead(others: Sequence[str]) -> str:
    return f", or encoder {' or '.join(others)}" if others else ""
