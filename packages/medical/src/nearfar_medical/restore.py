"""MONAI's own self-supervised recipe, the counterpart that contrast by place is compared with.

Two corrupted copies of each image (holes, shuffled blocks) are restored; the loss is their L1
distance to the image and MONAI's ``ContrastiveLoss`` between the two restorations, as in MONAI's
self-supervised tutorial, which weighs the second by the first.
"""

from __future__ import annotations

from typing import cast

import torch
from monai.losses import ContrastiveLoss
from monai.transforms import RandCoarseDropout, RandCoarseShuffle
from torch import Tensor, nn

from nearfar_medical.network import Network
from nearfar_medical.settings import MedicalSettings

__all__ = ["RestorationStage"]


class RestorationStage(nn.Module):
    """Trains all of a network but its last block, in whose place one restores the image."""

    name = "restoration"

    def __init__(self, network: Network, settings: MedicalSettings) -> None:
        super().__init__()
        self.settings = settings
        self.network = network
        width = network.map_widths(network.depths)
        conv = nn.Conv2d if network.dims == 2 else nn.Conv3d
        self.head = conv(2 * width, network.channels_in, 3, padding=1)
        self.contrast = ContrastiveLoss(temperature=0.05)
        hole = tuple(max(1, side // 8) for side in settings.image_shape)
        self.holes = RandCoarseDropout(
            prob=1.0, holes=6, spatial_size=1, max_spatial_size=hole, dropout_holes=True
        )
        self.shuffles = RandCoarseShuffle(
            prob=0.8, holes=10, spatial_size=tuple(max(1, h // 2) for h in hole)
        )

    def trained(self) -> list[nn.Parameter]:
        depth = self.network.depths
        return [
            *self.network.up_to(0), *self.network.up_to(depth), *self.head.parameters(),
        ]  # fmt: skip

    def forward(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Images [B, C, ...] -> the loss []."""
        seed = int(torch.randint(2**31, (), generator=generator))
        self.holes.set_random_state(seed)
        self.shuffles.set_random_state(seed)
        views = [
            torch.stack([cast(Tensor, self.shuffles(self.holes(image))) for image in x.cpu()])
            for _ in range(2)
        ]
        maps = self.network.encode(torch.cat(views).to(x))
        level = self.network.decode(maps, self.network.depths)
        a, b = self.head(torch.cat([maps[0], level], 1)).chunk(2)
        restored = nn.functional.l1_loss(a, x) + nn.functional.l1_loss(b, x)
        contrast = self.contrast(a.flatten(1), b.flatten(1))
        return cast(Tensor, restored + contrast * restored)
