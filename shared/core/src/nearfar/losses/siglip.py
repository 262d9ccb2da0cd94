"""SigLIP: every image-text pair is a yes-or-no question of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import Group, row_numbers
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import beside, embeddings, paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus
from nearfar.statistic import Statistic

__all__ = ["SigLIP", "siglip"]


@global_batch("image", "text")
def siglip(
    image: Tensor,
    text: Tensor,
    *,
    logit_scale: float | Tensor = 10.0,
    logit_bias: float | Tensor = -10.0,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-log sigmoid(s_ii) - sum over j != i log sigmoid(-s_ij)``, ``s = logit_scale <image_i,
    text_j> + logit_bias``.

    Zhai et al. 2023 (arXiv 2303.15343), equal to open_clip's ``SigLipLoss`` on one process; the
    defaults are the paper's starting values.

    Args:
        image, text: [N, D], row i of one belongs to row i of the other.
        logit_scale: above 0; a number or a tensor [] that may require grad.
        logit_bias: a number or a tensor [] that may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, logit_scale <= 0.

    Example:
        >>> siglip(torch.eye(4), torch.eye(4), logit_scale=100.0, logit_bias=-50.0) < 1e-3
        tensor(True)
    """
    x = embeddings("image", image, normalize=normalize)
    y = beside("text", text, "image", x, normalize=normalize)
    scale = positive("logit_scale", logit_scale, x)
    shift = torch.as_tensor(logit_bias, dtype=x.dtype, device=x.device)
    if shift.ndim:
        raise ValueError(f"logit_bias has shape {tuple(shift.shape)}; expected one number")
    own = row_numbers(x)
    scores = scores_of(x, y, scale, normalized=normalize, bias=shift.expand(len(y)))
    (no,) = row_statistics(scores, [Statistic("softplus", other(own, own))], path=path)
    return reduce(softplus(-(paired(x, y, scale) + shift)) + no, reduction)


class SigLIP(Loss):
    """:func:`siglip` as a module: ``forward(image, text)``; scale and bias may be given at the
    call."""

    function = staticmethod(siglip)
