"""Global and local contrast of volumes: slices by their place, and regions by theirs."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar import inputs
from nearfar.batch import Group, size_of, total_of
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import labels_of, one_positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus
from nearfar.statistic import Statistic

__all__ = ["GlobalVolumetric", "LocalVolumetric", "global_volumetric", "local_volumetric"]


@global_batch("embeddings", "place", numbers=("positives",))
def global_volumetric(
    embeddings: Tensor,
    positives: Tensor,
    place: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """Sum over listed pairs (a, b) of ``l(a, b) + l(b, a)``, over the number of rows::

        l(a, b) = -log( e^{s_ab} / (e^{s_ab} + sum over rows n of another place e^{s_an}) )

    Chaitanya et al. 2020 (arXiv 2006.10511). With ``place`` the part of the volume that a slice is
    from, slices of one part in other volumes are neither positive nor negative unless listed: the
    strategies G^D- (augmentations listed) and G^D (slices of one part in two volumes too). With a
    number of its own for each slice it is G^R.

    Args:
        embeddings: [N, D], all images' of the batch.
        positives: [P, 2] row numbers.
        place: [N] integers; rows of different ones repel each other.
        temperature: above 0; a number or a tensor [] that may require grad.
        normalize: scale all rows to unit norm first.

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> z = torch.eye(2).repeat(2, 1)  # two parts, in two volumes
        >>> global_volumetric(z, torch.tensor([[0, 2], [1, 3]]), torch.tensor([0, 1, 0, 1])) < 1e-3
        tensor(True)
    """
    x = inputs.embeddings("embeddings", embeddings, normalize=normalize)
    code = labels_of("place", place, x)
    if positives.ndim != 2 or positives.shape[1] != 2 or positives.is_floating_point():
        raise ValueError(
            f"positives is {positives.dtype} of shape {tuple(positives.shape)}; expected row "
            "numbers [P, 2]"
        )
    if len(positives) and not 0 <= int(positives.min()) <= int(positives.max()) < len(x):
        raise ValueError(f"positives reaches {int(positives.max())}; expected 0 to {len(x) - 1}")
    scale = 1 / one_positive("temperature", temperature, x)
    rest = Statistic("lse", other(code, code))
    (r,) = row_statistics(scores_of(x, x, scale, normalized=normalize), [rest], path=path)
    a, b = positives.to(x.device).unbind(1)
    s = (x[a] * x[b]).sum(1) * scale
    losses = softplus(r[a] - s) + softplus(r[b] - s)
    return total_of(losses.sum()) / size_of(x)


@global_batch("regions_a", "regions_b")
def local_volumetric(
    regions_a: Tensor,
    regions_b: Tensor,
    neighbours: Tensor,
    *,
    symmetric: bool = True,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    group: Group = None,
) -> Tensor:
    """Regions of two feature maps of one image: the same region attracts, its neighbours repel::

        l(r) = -log( e^{s(a_r, b_r)} / (e^{s(a_r, b_r)} + sum_{n near r} e^{s(a_r, a_n)}
                                                         + e^{s(a_r, b_n)}) )

    Chaitanya et al. 2020 (arXiv 2006.10511): L^R with two augmentations of a slice, L^D with slices
    of one part in two volumes. An image's regions meet only each other, so this is a batch of small
    problems [R, R], and no image's memory depends on the batch.

    Args:
        regions_a, regions_b: [B, R, D], region r of both at the same place.
        neighbours: [R, K] integers, the regions that repel each region.
        symmetric: add the same with a and b exchanged.
        temperature: above 0; a number or a tensor [] that may require grad.
        normalize: scale all regions to unit norm first.
        reduction: ``mean`` (over images and regions), ``sum`` or ``none`` ([B], over regions).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> maps = torch.eye(3)[None]  # one image, three regions, all different
        >>> local_volumetric(maps, maps, torch.tensor([[1, 2], [0, 2], [0, 1]])) < 1e-2
        tensor(True)
    """
    shape = regions_a.shape
    if regions_a.ndim != 3 or regions_b.shape != shape:
        raise ValueError(
            f"regions_a {tuple(shape)}, regions_b {tuple(regions_b.shape)}; expected both [B, R, D]"
        )
    if neighbours.ndim != 2 or len(neighbours) != shape[1] or neighbours.is_floating_point():
        raise ValueError(
            f"neighbours is {neighbours.dtype} of shape {tuple(neighbours.shape)}; expected "
            f"integers [{shape[1]}, K]"
        )
    a = inputs.embeddings("regions_a", regions_a.flatten(0, 1), normalize=normalize).view(shape)
    b = inputs.embeddings("regions_b", regions_b.flatten(0, 1), normalize=normalize).view(shape)
    scale = 1 / one_positive("temperature", temperature, a[:, 0])
    near = neighbours.to(a.device)

    def one_way(x: Tensor, y: Tensor) -> Tensor:
        own = (x * y).sum(2) * scale  # B x R
        with torch.autocast(x.device.type, enabled=False):
            index = near.expand(len(x), -1, -1)
            to_x = (x @ x.mT).gather(2, index) * scale  # B x R x K
            to_y = (x @ y.mT).gather(2, index) * scale
        return softplus(torch.cat([to_x, to_y], 2).logsumexp(2) - own)

    losses = one_way(a, b)
    if symmetric:
        losses = losses + one_way(b, a)
    return reduce(losses.mean(1), reduction)


class GlobalVolumetric(Loss):
    """:func:`global_volumetric` as a module: ``forward(embeddings, positives, place)``."""

    function = staticmethod(global_volumetric)


class LocalVolumetric(Loss):
    """:func:`local_volumetric` as a module: ``forward(regions_a, regions_b, neighbours)``."""

    function = staticmethod(local_volumetric)
