"""MI-Mix: mixtures of samples find both their parts, hard negatives weighed more."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import Group, row_numbers, size_of
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import beside, embeddings, paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus
from nearfar.statistic import Statistic
from nearfar.targets import Listed

__all__ = ["MiMix", "mi_mix"]


@global_batch("queries", "keys", "targets")
def mi_mix(
    queries: Tensor,
    keys: Tensor,
    targets: Listed,
    *,
    beta: float = 1.0,
    temperature: float | Tensor = 0.05,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-sum_j P_ij log( e^{s_ij} / (e^{s_ii} + R_i) )``, P the row's weights over their sum::

        R_i = (N - 1) sum_{j != i} e^{(1 + beta) s_ij} / sum_{j != i} e^{beta s_ij}

    Query i is a mixture of sample i and another, ``mix_rows`` says in what parts; key i is sample i
    by itself. Zhou et al. 2024 (arXiv 2402.08777) as their code has it: negatives are weighed as in
    weighted SimCLR, and gradients pass through the weights. ``beta=0`` is ``soft_targets``, the
    paper's form, and with mixed inputs i-Mix (Lee et al. 2021, arXiv 2010.08887).

    Args:
        queries, keys: [N, D]; key i is the larger part of query i.
        targets: the parts of each mixture, weights >= 0; a row whose weights are all 0 has loss 0
            and does not count in the mean.
        beta: >= 0; larger weighs nearer negatives more.
        temperature: above 0; a number, a tensor [] or [N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0, beta < 0.

    Example:
        >>> from nearfar.mixing import mix_rows
        >>> mixed, targets = mix_rows(torch.eye(4), chance=1.0, majority=True)
        >>> mi_mix(mixed, torch.eye(4), targets).shape
        torch.Size([])
    """
    if beta < 0:
        raise ValueError(f"beta is {beta}; expected 0 or more")
    q = embeddings("queries", queries, normalize=normalize)
    k = beside("keys", keys, "queries", q, normalize=normalize)
    targets.check(len(q), len(k))
    scale = 1 / positive("temperature", temperature, q)
    own = row_numbers(q)
    negatives = [Statistic("lse", other(own, own))]

    def lse(power: float) -> Tensor:
        scores = scores_of(q, k, power * scale, normalized=normalize)
        return row_statistics(scores, negatives, path=path)[0]

    s = paired(q, k, scale)
    if beta == 0:
        r = lse(1.0)
    else:
        top, bottom = lse(1 + beta), lse(beta)
        some = ~bottom.isinf()  # one row alone has no negatives
        log_m = s.new_tensor(max(1, size_of(s) - 1)).log()
        r = torch.where(some, log_m + torch.where(some, top, 0) - torch.where(some, bottom, 0), top)
    totals = targets.totals(k)
    counted = totals > 0
    parts = paired(q, targets.sums(k), scale) / totals.where(counted, totals.new_ones(()))
    return reduce(softplus(r - s) + s - parts, reduction, valid=counted)


class MiMix(Loss):
    """:func:`mi_mix` as a module: ``forward(queries, keys, targets)``."""

    function = staticmethod(mi_mix)
