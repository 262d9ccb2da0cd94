"""Soft-target contrast: cross-entropy of the softmax over keys against given weights."""

from __future__ import annotations

from torch import Tensor

from nearfar.batch import Group
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import embeddings, paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import everything
from nearfar.reduction import Reduction, reduce
from nearfar.statistic import Statistic
from nearfar.targets import Targets

__all__ = ["SoftTargets", "soft_targets"]


@global_batch("queries", "keys", "targets")
def soft_targets(
    queries: Tensor,
    keys: Tensor,
    targets: Targets,
    *,
    temperature: float | Tensor = 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-sum_j P_ij log softmax_j(<q_i, k_j> / temperature)``, P the row's weights over their sum.

    With ``Factored.cosine`` of a frozen encoder's embeddings, the weighted direction of CWCL
    (Srinivasa et al. 2023, arXiv 2309.14580); with ``Listed``, groups of positives (1-to-K) and
    mixtures of samples; with ``Teacher``, distillation: the cross-entropy, whose gradient is that
    of the Kullback-Leibler divergence.

    Args:
        queries: [N, D]. keys: [M, D].
        targets: ``nearfar.targets.Listed``, ``Factored`` or ``Teacher``, weights >= 0; a row whose
            weights are all 0 has loss 0 and does not count in the mean.
        temperature: above 0; a number, a tensor [] or [N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> from nearfar.targets import Listed
        >>> own = Listed(torch.arange(4)[:, None], torch.ones(4, 1))
        >>> soft_targets(torch.eye(4), torch.eye(4), own) < 1e-3
        tensor(True)
    """
    q = embeddings("queries", queries, normalize=normalize)
    k = embeddings("keys", keys, normalize=normalize, like=q)
    targets.check(len(q), len(k))
    scale = 1 / positive("temperature", temperature, q)
    scores = scores_of(q, k, scale, normalized=normalize)
    (a,) = row_statistics(scores, [Statistic("lse", everything())], path=path)
    totals = targets.totals(k)
    some = totals > 0
    losses = a - paired(q, targets.sums(k), scale) / totals.where(some, totals.new_ones(()))
    return reduce(losses, reduction, valid=some)


class SoftTargets(Loss):
    """:func:`soft_targets` as a module: ``forward(queries, keys, targets)``."""

    function = staticmethod(soft_targets)
