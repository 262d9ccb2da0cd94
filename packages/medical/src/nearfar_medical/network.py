"""MONAI's UNet, and the parts of it that contrast trains one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

__all__ = ["GlobalHead", "LocalHead", "Network"]


class Network(nn.Module):
    """A plain ``monai.networks.nets.UNet``, whose levels can be run one by one.

    Args:
        dims: 2 for slices, 3 for patches.
        channels_in: of an image. classes: with the background.
        widths: channels of each level. The first level keeps the image's size and each further one
            halves it, but the last, as in MONAI.
        norm: ``BATCH`` or ``INSTANCE``.

    Example:
        >>> net = Network(2, 1, 3, widths=(4, 8, 8))
        >>> x = torch.zeros(1, 1, 16, 16)
        >>> torch.equal(net.eval()(x), net.unet(x))
        True
        >>> [level.shape[-1] for level in net.encode(x)], net.decode(net.encode(x), 1).shape[-1]
        ([16, 8, 8], 16)
    """

    def __init__(
        self,
        dims: int,
        channels_in: int,
        classes: int,
        *,
        widths: Sequence[int] = (32, 64, 128, 256, 256),
        norm: str = "BATCH",
    ) -> None:
        super().__init__()
        self.dims, self.channels_in, self.classes = dims, channels_in, classes
        self.widths, self.norm = tuple(widths), norm
        self.unet = UNet(**self.recipe())

    def recipe(self) -> dict[str, Any]:
        """The arguments of MONAI's UNet."""
        return {
            "spatial_dims": self.dims,
            "in_channels": self.channels_in,
            "out_channels": self.classes,
            "channels": self.widths,
            "strides": (1, *(2 for _ in self.widths[2:])),
            # Not residual units: MONAI's last one works on as many channels as there are classes,
            # and where ReLU closes one of three, its structure is never found.
            "num_res_units": 0,
            "act": ("LEAKYRELU", {"negative_slope": 0.1}),
            "norm": self.norm,
        }

    @property
    def stride(self) -> int:
        """By how much the last level is smaller than the image, whose sides it must divide."""
        return int(2 ** (len(self.widths) - 2))

    @property
    def depths(self) -> int:
        """How many of the decoder's blocks come before the one that gives classes."""
        return len(self.widths) - 2

    def map_widths(self, depth: int) -> int:
        """Channels of :meth:`decode`'s map."""
        return int(self.widths[len(self.widths) - 2 - depth])

    def levels(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The encoder's blocks, from the image on, and the decoder's, from the last level back."""
        down, up = [], []
        block: Any = self.unet.model
        while isinstance(block, nn.Sequential) and len(block) == 3:
            down.append(block[0])
            up.append(block[2])
            block = block[1].submodule
        return [*down, block], up[::-1]

    def encode(self, x: Tensor) -> list[Tensor]:
        """Images [B, C, ...] -> each level's map, the last one the smallest."""
        maps = []
        for block in self.levels()[0]:
            x = block(x)
            maps.append(x)
        return maps

    def decode(self, maps: list[Tensor], depth: int) -> Tensor:
        """The map after ``depth`` blocks of the decoder; ``depths + 1`` gives classes."""
        x = maps[-1]
        for block, skip in zip(self.levels()[1][:depth], maps[-2::-1], strict=False):
            x = block(torch.cat([skip, x], 1))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, ...] -> logits [B, classes, ...]."""
        logits: Tensor = self.unet(x)
        return logits

    def take(self, state: dict[str, Tensor], depth: int) -> None:
        """The encoder and the decoder's first ``depth`` blocks from another network's state."""
        other = Network(
            self.dims, self.channels_in, self.classes, widths=self.widths, norm=self.norm
        )
        other.load_state_dict(state)
        pairs = zip(self.levels(), other.levels(), strict=True)
        for number, (own, theirs) in enumerate(pairs):
            count = len(own) if number == 0 else depth
            for block, from_block in zip(own[:count], theirs[:count], strict=True):
                block.load_state_dict(from_block.state_dict())

    def up_to(self, depth: int) -> list[nn.Parameter]:
        """The parameters of the encoder, for depth 0, or the decoder's first ``depth`` blocks."""
        down, up = self.levels()
        blocks = down if depth == 0 else up[:depth]
        return [p for block in blocks for p in block.parameters()]


class GlobalHead(nn.Module):
    """The projection g1 of an image's last map: a hidden layer and 128 numbers, without biases.

    The map is averaged to ``cells`` an axis first, so that any image size will do.
    """

    def __init__(self, dims: int, width: int, *, cells: int = 4, out: int = 128) -> None:
        super().__init__()
        pool = nn.AdaptiveAvgPool2d if dims == 2 else nn.AdaptiveAvgPool3d
        self.layers = nn.Sequential(
            pool(cells), nn.Flatten(),
            nn.Linear(width * cells**dims, 1024, bias=False), nn.ReLU(),
            nn.Linear(1024, out, bias=False),
        )  # fmt: skip

    def forward(self, level: Tensor) -> Tensor:
        """[B, width, ...] -> [B, out]."""
        out: Tensor = self.layers(level)
        return out


class LocalHead(nn.Module):
    """The projection g2 of a decoder's map, and one linear layer over each region of it."""

    def __init__(self, dims: int, width: int, *, side: int = 3, out: int = 128) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
        self.dims, self.side = dims, side
        self.layers = nn.Sequential(
            conv(width, width, 1, bias=False), norm(width), nn.ReLU(),
            conv(width, width, 1, bias=False),
        )  # fmt: skip
        self.region = nn.Linear(width * side**dims, out, bias=False)

    def forward(self, level: Tensor, corners: Tensor) -> Tensor:
        """Maps [B, width, ...] and the regions' first corners [R, dims] -> [B, R, out]."""
        x = self.layers(level)
        side = self.side
        parts = []
        for corner in corners.tolist():
            at = tuple(slice(c, c + side) for c in corner)
            parts.append(x[(slice(None), slice(None), *at)].flatten(1))
        regions: Tensor = self.region(torch.stack(parts, 1))
        return regions
