"""From an image to classes: slice by slice, or patch by patch with a sliding window."""

from __future__ import annotations

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from numpy.typing import NDArray
from torch import nn

from nearfar_medical.frames import Frame
from nearfar_medical.settings import MedicalSettings

__all__ = ["dice_of", "mean_dice", "probabilities", "segment_frame"]

BATCH = 32  # slices at a time


@torch.no_grad()
def probabilities(
    network: nn.Module, image: NDArray[np.float32], settings: MedicalSettings
) -> NDArray[np.float32]:
    """[C, S, H, W] -> softmax [classes, S, H, W]."""
    network.eval()
    device = next(network.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(image))
    if settings.dims == 2:
        parts = [network(part.to(device)).softmax(1).cpu() for part in x.movedim(1, 0).split(BATCH)]
        return torch.cat(parts).movedim(0, 1).numpy()
    # Windows are as large as the patches of training; where a volume is smaller it is padded.
    inferer = SlidingWindowInferer(
        settings.image_shape, sw_batch_size=2, overlap=0.5, mode="gaussian"
    )
    logits = inferer(x[None].to(device), network)
    assert isinstance(logits, torch.Tensor)
    return logits.softmax(1)[0].cpu().numpy()


def segment_frame(network: nn.Module, frame: Frame, settings: MedicalSettings) -> NDArray[np.uint8]:
    """The likeliest class of each place: [S, H, W]."""
    best = probabilities(network, frame.image, settings).argmax(0)
    return np.asarray(best, dtype=np.uint8)


def dice_of(
    predicted: NDArray[np.uint8], truth: NDArray[np.uint8] | None, classes: int
) -> list[float]:
    """Each foreground class's Dice in a volume; NaN where it is in neither."""
    assert truth is not None
    scores = []
    for c in range(1, classes):
        a, b = predicted == c, truth == c
        total = int(a.sum() + b.sum())
        scores.append(2 * int((a & b).sum()) / total if total else float("nan"))
    return scores


def mean_dice(predicted: NDArray[np.uint8], truth: NDArray[np.uint8] | None, classes: int) -> float:
    """The mean of the foreground classes' Dice; a class absent from both does not count."""
    scores = np.array(dice_of(predicted, truth, classes))
    return float(scores[~np.isnan(scores)].mean()) if not np.isnan(scores).all() else float("nan")
