"""SwAV: each view predicts the other's balanced cluster assignment."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import Group, at_hand, leads_batch
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import beside, embeddings, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import everything
from nearfar.reduction import Reduction, reduce
from nearfar.sinkhorn import sinkhorn
from nearfar.statistic import Statistic

__all__ = ["SwAV", "swav"]


@global_batch("view_a", "view_b")
def swav(
    view_a: Tensor,
    view_b: Tensor,
    prototypes: Tensor,
    *,
    queue: Tensor | None = None,
    epsilon: float = 0.05,
    iterations: int = 3,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-1/2 (sum_c q_bc log softmax_c(<a, c> / t) + sum_c q_ac log softmax_c(<b, c> / t))``.

    Caron et al. 2020 (arXiv 2006.09882): q are Sinkhorn assignments of each view's rows to the
    prototypes, without gradient. More crops: average this over pairs, the full crops giving q.

    Args:
        view_a, view_b: [N, D]; row i of both is the same sample.
        prototypes: [K, D], learned.
        queue: [Q, D], earlier rows that take part in the assignment alone; None for none.
        epsilon, iterations: of :func:`nearfar.sinkhorn.sinkhorn`.
        temperature: above 0; a number or a tensor [], which may require grad.
        normalize: scale all rows to unit norm first, the prototypes too.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> z = torch.eye(4)
        >>> swav(z, z, z, epsilon=0.05) < 1e-3
        tensor(True)
    """
    a = embeddings("view_a", view_a, normalize=normalize)
    b = beside("view_b", view_b, "view_a", a, normalize=normalize)
    c = embeddings("prototypes", prototypes, normalize=normalize, like=a)
    more = a.new_zeros(0, a.shape[1])
    if queue is not None:
        queue = embeddings("queue", queue, normalize=normalize, like=a)
        if leads_batch():  # all have the same queue, and its rows count once
            more = queue
    scale = 1 / positive("temperature", temperature, a)

    def predicts(x: Tensor, other: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            q = sinkhorn(torch.cat([other, more]) @ c.T, epsilon=epsilon, iterations=iterations)
            q = q[: len(x)]  # N x K
        scores = scores_of(x, c, scale, normalized=normalize)
        with at_hand():
            (a,) = row_statistics(scores, [Statistic("lse", everything())], path=path)
        with torch.autocast(x.device.type, enabled=False):
            # sum_c q_c <x, c>: the mean prototype, no pass over pairs.
            return a - (x * (q @ c)).sum(1) * scale

    return reduce((predicts(a, b) + predicts(b, a)) / 2, reduction)


class SwAV(Loss):
    """:func:`swav` as a module: ``forward(view_a, view_b, prototypes)``, ``queue=`` at the call."""

    function = staticmethod(swav)
    inputs = frozenset({"queue"})
