"""A supervised recipe in nnU-Net's manner, at the budget of the other methods.

Isensee et al. 2021: instance normalisation and leaky ReLUs, Dice and cross-entropy at several
depths, a polynomial decay, a third of the images with foreground for sure, and strong augmentation.
Not nnU-Net itself, which plans its own sizes and trains for days: its momentum of 0.99 learns
nothing in some hundred steps (Dice 0.0 after 300 on hippocampi), so that AdamW stands in its place
here, at the rate of the other methods; at half the widths, or at a rate of 0.01, one draw in two at
eight labels found nothing in 200 steps (0.34 and 0.28, 0.40 and 0.0; 0.78 and 0.75 as it is).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from monai.networks.nets import DynUNet
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandAxisFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandZoomd,
)
from torch import Tensor, nn

from nearfar_medical.frames import Frame, draw_slices
from nearfar_medical.segment import mean_dice, segment_frame
from nearfar_medical.settings import MedicalSettings

__all__ = ["NnUNetLike", "train_nnunet_like"]


class NnUNetLike(nn.Module):
    """MONAI's DynUNet; in training it gives logits at several depths: [B, depths, classes, ...]."""

    def __init__(self, dims: int, channels_in: int, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.dims, self.classes = dims, classes
        levels = len(widths) - 1
        strides = [1, *[2] * (levels - 1)]
        self.layers = DynUNet(
            dims, channels_in, classes, kernel_size=[3] * levels, strides=strides,
            upsample_kernel_size=strides[1:], filters=list(widths[:levels]),
            norm_name="instance", deep_supervision=levels > 3, deep_supr_num=max(1, levels - 3),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def train_nnunet_like(
    training: Sequence[Frame],
    validation: Sequence[Frame],
    channels: int,
    classes: int,
    settings: MedicalSettings,
    *,
    seed: int,
) -> NnUNetLike:
    """The network with the best weights on the validation frames."""
    s = settings
    torch.manual_seed(seed)
    network = NnUNetLike(s.dims, channels, classes, s.widths)
    optimizer = torch.optim.AdamW(network.parameters(), lr=s.tuned_learning_rate, weight_decay=3e-5)
    criterion = DeepSupervisionLoss(DiceCELoss(softmax=True, to_onehot_y=True, batch=True))
    augment = _augmentation(s).set_random_state(seed)
    generator = torch.Generator().manual_seed(seed)
    depth = s.depth if s.dims == 3 else None
    filled = [_with_foreground(frame) for frame in training]
    best, kept = -1.0, copy.deepcopy(network.state_dict())
    for step in range(s.tuned_steps):
        for group in optimizer.param_groups:
            group["lr"] = s.tuned_learning_rate * (1 - step / s.tuned_steps) ** 0.9
        sure = max(1, s.tuned_batch // 3)
        parts = [
            draw_slices(filled, sure, depth, generator),
            draw_slices(training, s.tuned_batch - sure, depth, generator),
        ]
        image, mask = (torch.cat(pair) for pair in zip(*parts, strict=True))
        moved = [augment({"image": i, "mask": m[None]}) for i, m in zip(image, mask, strict=True)]
        image = torch.stack([m["image"].as_tensor() for m in moved])
        mask = torch.stack([m["mask"].as_tensor() for m in moved]).round().long()
        network.train()
        out = network(image)
        logits = list(out.unbind(1)) if out.ndim == image.ndim + 1 else out
        loss = criterion(logits, mask)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()
        if (step + 1) % s.validate_every == 0 or step + 1 == s.tuned_steps:
            scores = [
                mean_dice(segment_frame(network, frame, s), frame.mask, classes)
                for frame in validation
            ]
            if (score := float(np.nanmean(scores))) > best:
                best, kept = score, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    return network


def _with_foreground(frame: Frame) -> Frame:
    """The slices alone that hold something besides background; all where none does."""
    assert frame.mask is not None
    some = frame.mask.reshape(frame.slices, -1).any(1)
    if not some.any():
        return frame
    first, last = np.flatnonzero(some)[[0, -1]]
    rows = slice(int(first), int(last) + 1)
    return Frame(frame.name, frame.subject, frame.image[:, rows], frame.mask[rows])


def _augmentation(s: MedicalSettings) -> Compose:
    both = ["image", "mask"]
    turn = (np.pi,) if s.dims == 2 else (0.0, 0.0, np.pi / 6)
    modes = ("bilinear", "nearest")
    steps = [
        RandAffined(both, prob=0.2, rotate_range=turn if s.flip else (np.pi / 12,), mode=modes,
                    padding_mode="zeros"),
        RandZoomd(both, prob=0.2, min_zoom=0.7, max_zoom=1.4,
                  mode=("bilinear" if s.dims == 2 else "trilinear", "nearest"),
                  padding_mode="constant"),
        RandGaussianNoised(["image"], prob=0.1, std=0.1),
        RandGaussianSmoothd(["image"], prob=0.2, sigma_x=(0.5, 1.0), sigma_y=(0.5, 1.0)),
        RandScaleIntensityd(["image"], prob=0.15, factors=0.25),
        RandAdjustContrastd(["image"], prob=0.3, gamma=(0.7, 1.5)),
    ]  # fmt: skip
    if s.flip:
        steps.append(RandAxisFlipd(both, prob=0.5))
    return Compose(steps)
