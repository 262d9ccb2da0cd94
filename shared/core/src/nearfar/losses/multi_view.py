"""Multi-view weighted contrastive loss: several positives and negative sets, each with a weight."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import Group, row_numbers
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import embeddings, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus
from nearfar.statistic import Statistic

__all__ = ["MultiViewWeighted", "multi_view_weighted"]


@global_batch("anchors", "positives", "own_negatives", "shared_negatives", dim=1)
def multi_view_weighted(
    anchors: Tensor,
    positives: Tensor,
    *,
    own_negatives: Tensor | None = None,
    shared_negatives: Tensor | None = None,
    positive_weights: Tensor | None = None,
    own_weights: Tensor | None = None,
    shared_weights: Tensor | None = None,
    temperature: float | Tensor = 0.05,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-log( P_i / (P_i + R_i) )`` with weighted sums over positives and negatives::

        P_i = sum_p w_p e^{s(i, positives[p, i])}
        R_i = sum_k v_k e^{s(i, own_negatives[k, i])}
            + sum_k u_k sum_{j != i} e^{s(i, shared_negatives[k, j])}

    ColloSSL, Jain et al. 2022 (arXiv 2202.00758), where view k is a device, ``own_negatives`` its
    windows permuted in time and the weights are inverse distances between devices. The authors'
    released code has the sign of the similarity reversed; here near means a small loss. With
    ``shared_negatives`` each row meets every other row of each negative view.

    Args:
        anchors: [N, D].
        positives: [P, N, D], row i of each is a positive of anchor i.
        own_negatives: [K, N, D], row i of each is a negative of anchor i alone.
        shared_negatives: [K, N, D], all rows but i of each are negatives of anchor i.
        positive_weights, own_weights, shared_weights: [P], [K], [K], >= 0; None: all 1.
        temperature: above 0; a number, a tensor [] or [N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> same, orthogonal = torch.tensor([[1.0, 0]]), torch.tensor([[0.0, 1]])
        >>> multi_view_weighted(same, same[None], own_negatives=orthogonal[None]) < 1e-3
        tensor(True)
    """
    x = embeddings("anchors", anchors, normalize=normalize)
    scale = 1 / positive("temperature", temperature, x)
    p = _own(x, _views("positives", positives, x, normalize), positive_weights, scale)
    r = x.new_full((len(x),), -torch.inf)
    if own_negatives is not None:
        views = _views("own_negatives", own_negatives, x, normalize)
        r = torch.logaddexp(r, _own(x, views, own_weights, scale))
    if shared_negatives is not None:
        views = _views("shared_negatives", shared_negatives, x, normalize)
        weight = _log_weights("shared_weights", shared_weights, views)
        moment = row_numbers(x)
        shared = Statistic(
            "lse",
            other(moment, moment.repeat(len(views))),
            None if weight is None else weight.repeat_interleave(len(x)),
        )
        scores = scores_of(x, views.flatten(0, 1), scale, normalized=normalize)
        r = torch.logaddexp(r, row_statistics(scores, [shared], path=path)[0])
    return reduce(softplus(r - p), reduction)


class MultiViewWeighted(Loss):
    """:func:`multi_view_weighted` as a module: ``forward(anchors, positives, own_negatives=...,
    shared_negatives=..., positive_weights=..., ...)``."""

    function = staticmethod(multi_view_weighted)
    inputs = frozenset(
        ["own_negatives", "shared_negatives", "positive_weights", "own_weights", "shared_weights"]
    )


def _views(name: str, views: Tensor, x: Tensor, normalize: bool) -> Tensor:
    if views.ndim != 3 or views.shape[1] != len(x):
        raise ValueError(
            f"{name} has shape {tuple(views.shape)}; expected [views, {len(x)}, {x.shape[1]}]"
        )
    rows = embeddings(name, views.flatten(0, 1), normalize=normalize, like=x)
    return rows.reshape(views.shape)


def _log_weights(name: str, weights: Tensor | None, views: Tensor) -> Tensor | None:
    if weights is None:
        return None
    if weights.shape != (len(views),) or not bool((weights >= 0).all()):
        raise ValueError(
            f"{name} is {weights.tolist()}; expected {len(views)} numbers >= 0, one a view"
        )
    return weights.to(views).log()


def _own(x: Tensor, views: Tensor, weights: Tensor | None, scale: Tensor) -> Tensor:
    """The weighted log-sum-exp over views of row i with row i: [N]."""
    s = (x * views).sum(2) * scale  # views x N
    weight = _log_weights("weights", weights, views)
    return (s if weight is None else s + weight[:, None]).logsumexp(0)
