"""CLIP: two modalities, each finds its own among the other's."""

from __future__ import annotations

from torch import Tensor

from nearfar.batch import Group
from nearfar.dispatch import Path
from nearfar.distributed import global_batch
from nearfar.inputs import beside, embeddings, positive, scores_of
from nearfar.losses.info_nce import both_ways
from nearfar.module import Loss
from nearfar.reduction import Reduction, reduce

__all__ = ["CLIP", "clip"]


@global_batch("image", "text")
def clip(
    image: Tensor,
    text: Tensor,
    *,
    logit_scale: float | Tensor = 1 / 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """Mean of image-to-text and text-to-image cross-entropy over ``logit_scale <image_i, text_j>``.

    Radford et al. 2021 (arXiv 2103.00020), equal to open_clip's ``ClipLoss`` on one process, where
    ``logit_scale`` is passed as here: the scale itself, not its logarithm.

    Args:
        image, text: [N, D], row i of one belongs to row i of the other.
        logit_scale: above 0; a number or a tensor [] that may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, logit_scale <= 0.

    Example:
        >>> import torch
        >>> clip(torch.eye(4), torch.eye(4), logit_scale=100) < 1e-3
        tensor(True)
    """
    x = embeddings("image", image, normalize=normalize)
    y = beside("text", text, "image", x, normalize=normalize)
    scale = positive("logit_scale", logit_scale, x)
    return reduce(both_ways(scores_of(x, y, scale, normalized=normalize), path), reduction)


class CLIP(Loss):
    """:func:`clip` as a module: ``forward(image, text)``, or with ``logit_scale=`` at the call."""

    function = staticmethod(clip)
