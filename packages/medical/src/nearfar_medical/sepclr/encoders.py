"""Two separate encoders of one image, each with a projector: what is common, what is salient."""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from nearfar_medical.sepclr.settings import SepCLRSettings

__all__ = ["Encoded", "SpaceEncoder", "TwoEncoders", "make_encoders"]


class Encoded(NamedTuple):
    """Representations are probed, heads are what the objective reads."""

    common: Tensor  # [N, D]
    salient: Tensor  # [N, E]
    common_head: Tensor  # [N, D]
    salient_head: Tensor  # [N, E]


class SpaceEncoder(nn.Module):
    """MONAI's residual network with a stem for small images, and a projector.

    The stem is a convolution of 3 without pooling, as for CIFAR. A representation has as many
    numbers as its head: the room of a space is set before the projector.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        features: int,
        *,
        widths: tuple[int, int, int, int],
        blocks: tuple[int, int, int, int],
        hidden: int = 128,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.body = ResNet(
            "basic", list(blocks), list(widths), spatial_dims=dims, n_input_channels=channels,
            conv1_t_size=3, conv1_t_stride=stride, no_max_pool=True, num_classes=features,
        )  # fmt: skip
        self.projector = nn.Sequential(
            nn.Linear(features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, features),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, ...] -> representation and head, both [N, features]."""
        h = self.body(x)
        return h, self.projector(h)


class TwoEncoders(nn.Module):
    """A common and a salient :class:`SpaceEncoder`; they share no weights."""

    def __init__(self, common: SpaceEncoder, salient: SpaceEncoder) -> None:
        super().__init__()
        self.common, self.salient = common, salient

    def forward(self, x: Tensor) -> Encoded:
        common, common_head = self.common(x)
        salient, salient_head = self.salient(x)
        return Encoded(common, salient, common_head, salient_head)


def make_encoders(settings: SepCLRSettings, seed: int) -> TwoEncoders:
    """The encoders of the settings, their weights drawn from ``seed``."""
    s = settings
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        common, salient = (
            SpaceEncoder(
                s.dims,
                s.channels,
                features,
                widths=s.widths,
                blocks=s.blocks,
                hidden=s.hidden,
                stride=s.stem_stride,
            )
            for features in (s.common_dims, s.salient_dims)
        )
    encoders = TwoEncoders(common, salient)
    # On a CPU narrow convolutions take about half the time with channels last.
    last = torch.channels_last if s.dims == 2 else torch.channels_last_3d
    encoders.to(memory_format=last)  # type: ignore[call-overload]
    return encoders
