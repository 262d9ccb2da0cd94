"""CACR: attract far positives most, repel near negatives most."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import Group, row_numbers, size_of, total_of
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import embeddings, scores_of
from nearfar.module import Loss
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce
from nearfar.statistic import Statistic

__all__ = ["CACR", "cacr"]


@global_batch("views", dim=1)
def cacr(
    views: Tensor,
    *,
    attraction: float | Tensor = 1.0,
    repulsion: float | Tensor = 1.0,
    attraction_weight: float = 1.0,
    repulsion_weight: float = 1.0,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """Contrastive attraction and contrastive repulsion over squared distances ``d``::

        attraction_weight * sum_k softmax_k(attraction * d_ik) d_ik    over the other views of i
      - repulsion_weight * sum_j softmax_j(-repulsion * d_ij) d_ij     over the other samples' rows

    Zheng et al. 2021 (arXiv 2105.03746). Gradients pass through both softmaxes, as in the authors'
    CIFAR code; with two views the first term is the plain distance.

    Args:
        views: [V, N, D], V >= 2 views of N samples.
        attraction, repulsion: >= 0, numbers or tensors []; the paper's t+ and t-.
        attraction_weight, repulsion_weight: the paper's alpha and beta.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([V N], view by view). Without negatives (N = 1)
            the second term is 0.

    Raises:
        ValueError: not [V, N, D] with V >= 2, empty or not finite.

    Example:
        >>> views = torch.eye(4).expand(2, 4, 4)  # d is 0 to its other view, 2 to all others
        >>> cacr(views)
        tensor(-2.)
    """
    if views.ndim != 3 or len(views) < 2:
        raise ValueError(f"views has shape {tuple(views.shape)}; expected [V, N, D], V >= 2")
    count, samples = views.shape[:2]
    z = embeddings("views", views.flatten(0, 1), normalize=normalize)  # VN x D
    v = z.view(count, samples, -1)
    d = (v[:, None] - v[None]).square().sum(-1)  # V x V x N
    same_view = torch.eye(count, dtype=torch.bool, device=z.device)[:, :, None]
    far = (attraction * d).masked_fill(same_view, -torch.inf).softmax(1)
    losses = attraction_weight * (far * d).sum(1).flatten()

    # -d_ij = 2 <x_i, x_j> - |x_j|^2 - |x_i|^2; the last is the same all along a row.
    sample = row_numbers(v[0]).repeat(count)
    everyone = size_of(v[0])
    norm = z.square().sum(1)
    bias = None if normalize else -repulsion * norm
    if repulsion > 0:
        scale = torch.as_tensor(2 * repulsion, dtype=z.dtype, device=z.device)
        scores = scores_of(z, z, scale, normalized=normalize, bias=bias)
        mean = Statistic("mean", other(sample, sample))
        (m,) = row_statistics(scores, [mean], path=path)
        d_near = norm + (norm if normalize else 0) - m / repulsion
    else:  # all weigh alike: the mean distance, from sums alone
        total = total_of(z.sum(0)) - v.sum(0).repeat(count, 1)
        rest = max(1, count * (everyone - 1))
        norms = total_of(norm.sum()) - norm.view(count, samples).sum(0).repeat(count)
        d_near = norm + (norms - 2 * (z * total).sum(1)) / rest
    if everyone > 1:
        losses = losses - repulsion_weight * d_near
    return reduce(losses, reduction)


class CACR(Loss):
    """:func:`cacr` as a module: ``forward(views)``."""

    function = staticmethod(cacr)
