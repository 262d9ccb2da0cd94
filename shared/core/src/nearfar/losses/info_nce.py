"""InfoNCE: find your own key among all keys."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import Group, at_hand, row_numbers
from nearfar.dispatch import Path, contrast, row_statistics, two_way_lse
from nearfar.distributed import global_batch
from nearfar.inputs import beside, embeddings, paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import everything, other, unlisted
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus
from nearfar.statistic import Scores, Statistic

__all__ = ["InfoNCE", "info_nce"]


@global_batch("queries", "keys", "own_negatives", numbers=("ignored",))
def info_nce(
    queries: Tensor,
    keys: Tensor,
    *,
    negatives: Tensor | None = None,
    own_negatives: Tensor | None = None,
    ignored: Tensor | None = None,
    temperature: float | Tensor = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-log softmax_j(<q_i, k_j> / temperature)`` at j = i: row i's positive is key i.

    van den Oord, Li, Vinyals 2018 (arXiv 1807.03748); with ``negatives`` a queue of keys that are
    nobody's positive, MoCo (He et al. 2020, arXiv 1911.05722). With ``own_negatives``, keys that
    one query alone meets: mixtures of hard negatives (MoCHi, ``nearfar.mixing``), or the sample
    itself in a wrong order (CompA, Ghosh et al. 2023, arXiv 2310.08753). Pairs that are ``ignored``
    are neither positive nor negative, say those that another encoder finds alike.

    Args:
        queries, keys: [N, D].
        negatives: [Q, D], further keys that every query meets, or None.
        own_negatives: [N, h, D], further keys of each query alone, or None.
        ignored: [N, k] numbers of keys that a query passes over, -1 where it is fewer; or None.
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
    k = beside("keys", keys, "queries", q, normalize=normalize)
    scale = 1 / positive("temperature", temperature, q)
    s = paired(q, k, scale)  # N
    own = row_numbers(q)

    scores, rest = scores_of(q, k, scale, normalized=normalize), other(own, own)
    if symmetric:
        if negatives is not None or own_negatives is not None or ignored is not None:
            raise ValueError(
                "symmetric goes without negatives, own_negatives and ignored: they have one side"
            )
        return reduce(both_ways(scores, path), reduction)
    if ignored is not None:
        if len(ignored) != len(q):
            raise ValueError(f"ignored has {len(ignored)} rows; expected {len(q)}, one a query")
        rest = rest & unlisted(ignored.to(own), len(k))
    if negatives is None and own_negatives is None:
        return reduce(contrast(scores, rest, s, base_inside=False, path=path), reduction)
    (r,) = row_statistics(scores, [Statistic("lse", rest)], path=path)
    if negatives is not None:
        queue = embeddings("negatives", negatives, normalize=normalize, like=q)
        scores = scores_of(q, queue, scale, normalized=normalize)
        with at_hand():
            (t,) = row_statistics(scores, [Statistic("lse", everything())], path=path)
        r = torch.logaddexp(r, t)
    if own_negatives is not None:
        own_scores = _own_scores(q, own_negatives, scale, normalize)
        r = torch.logaddexp(r, own_scores.logsumexp(1))
    return reduce(softplus(r - s), reduction)


def _own_scores(q: Tensor, own_negatives: Tensor, scale: Tensor, normalize: bool) -> Tensor:
    """The scores [N, h] of each query with its own negatives [N, h, D]."""
    if own_negatives.ndim != 3 or len(own_negatives) != len(q):
        raise ValueError(
            f"own_negatives has shape {tuple(own_negatives.shape)}; expected [{len(q)}, h, D]"
        )
    flat = embeddings("own_negatives", own_negatives.flatten(0, 1), normalize=normalize, like=q)
    return (flat.view_as(own_negatives) * q[:, None]).sum(2) * scale.reshape(-1, 1)


def both_ways(scores: Scores, path: Path | None) -> Tensor:
    """The mean of InfoNCE of queries against keys and of keys against queries: [N]."""
    q, k = scores.queries, scores.keys
    own = row_numbers(q)
    s = paired(q, k, scores.scale)
    of_query, of_key = two_way_lse(scores, other(own, own), path=path)
    return (softplus(of_query - s) + softplus(of_key - s)) / 2


class InfoNCE(Loss):
    """:func:`info_nce` as a module: ``forward(queries, keys, negatives=None)``."""

    function = staticmethod(info_nce)
    inputs = frozenset({"negatives", "own_negatives", "ignored"})
