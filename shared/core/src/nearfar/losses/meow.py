"""MEOW: negatives that often share a cluster with the anchor weigh little or nothing."""

from __future__ import annotations

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
from nearfar.weights import ClusterDisagreement

__all__ = ["MEOW", "meow"]


@global_batch("queries", "keys", "clusters")
def meow(
    queries: Tensor,
    keys: Tensor,
    clusters: Tensor,
    *,
    temperature: float | Tensor = 0.4,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-log( e^{s_ii} / (e^{s_ii} + sum_{j != i} w_ij e^{s_ij}) )``.

    MEOW, Yu et al. 2023: w_ij is the number of clusterings in which i and j are apart. A pair that
    every clustering puts together is no negative: this keeps false negatives out. The released code
    leaves the positive out of the denominator; here it stands in it, so that the loss is above 0,
    and InfoNCE where each row is a cluster of its own.

    Args:
        queries, keys: [N, D]; row i of both is the same sample.
        clusters: [N, K] integers, each row's cluster in K clusterings.
        temperature: above 0; a number, a tensor [] or [N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> z = torch.ones(4, 2)  # all alike, and all in one cluster: nothing to push apart
        >>> meow(z, z, torch.zeros(4, 1, dtype=torch.long))
        tensor(0.)
    """
    q = embeddings("queries", queries, normalize=normalize)
    k = beside("keys", keys, "queries", q, normalize=normalize)
    if clusters.ndim != 2 or len(clusters) != len(q) or clusters.is_floating_point():
        raise ValueError(
            f"clusters is {clusters.dtype} of shape {tuple(clusters.shape)}; expected integers "
            f"[{len(q)}, K]"
        )
    codes = clusters.to(q.device)
    own = row_numbers(q)
    scale = 1 / positive("temperature", temperature, q)
    rest = Statistic("lse", other(own, own), ClusterDisagreement(codes, codes))
    (r,) = row_statistics(scores_of(q, k, scale, normalized=normalize), [rest], path=path)
    return reduce(softplus(r - paired(q, k, scale)), reduction)


class MEOW(Loss):
    """:func:`meow` as a module: ``forward(queries, keys, clusters)``."""

    function = staticmethod(meow)
