"""InfoNCE: find your own key among all keys."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nearfar.dispatch import Path, row_statistics
from nearfar.inputs import embeddings, paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce
from nearfar.statistic import Statistic

__all__ = ["InfoNCE", "info_nce"]


def info_nce(
    queries: Tensor,
    keys: Tensor,
    *,
    negatives: Tensor | None = None,
    temperature: float | Tensor = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: Reduction = "mean",
    path: Path | None = None,
) -> Tensor:
    """``-log softmax_j(<q_i, k_j> / temperature)`` at j = i: row i's positive is key i.

    van den Oord, Li, Vinyals 2018 (arXiv 1807.03748); with ``negatives`` a queue of keys that are
    nobody's positive, MoCo (He et al. 2020, arXiv 1911.05722).

    Args:
        queries, keys: [N, D].
        negatives: [Q, D], further keys that every query meets, or None.
        temperature: above 0; a number, a tensor [] or one a row [N], which may require grad.
        normalize: scale all rows to unit norm first.
        symmetric: mean of this and of keys against queries (without ``negatives``).
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> q, k = torch.eye(4), torch.eye(4)
        >>> info_nce(q, k, temperature=0.1) < 1e-3
        tensor(True)
    """
    q = embeddings("queries", queries, normalize=normalize)
    k = embeddings("keys", keys, normalize=normalize, like=q)
    if len(k) != len(q):
        raise ValueError(f"keys has {len(k)} rows; expected one for each of {len(q)} queries")
    scale = 1 / positive("temperature", temperature, q)
    s = paired(q, k, scale)  # N
    own = torch.arange(len(q), device=q.device)

    pool, ids = k, own
    if negatives is not None:
        pool = torch.cat([k, embeddings("negatives", negatives, normalize=normalize, like=q)])
        ids = torch.cat([own, own.new_full((len(negatives),), -1)])
    rest = Statistic("lse", other(own, ids))
    (r,) = row_statistics(scores_of(q, pool, scale, normalized=normalize), [rest], path=path)
    losses = softplus(r - s)
    if symmetric:
        rest = Statistic("lse", other(own, own))
        (r,) = row_statistics(scores_of(k, q, scale, normalized=normalize), [rest], path=path)
        losses = (losses + softplus(r - s)) / 2
    return reduce(losses, reduction)


class InfoNCE(Loss):
    """:func:`info_nce` as a module: ``forward(queries, keys, negatives=None)``."""

    function = staticmethod(info_nce)
    inputs = frozenset({"negatives"})
