"""DCL: NT-Xent without the positive in the denominator."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import Group
from nearfar.dispatch import Path
from nearfar.distributed import global_batch
from nearfar.losses.two_views import two_views
from nearfar.module import Loss
from nearfar.reduction import Reduction, reduce

__all__ = ["DCL", "dcl"]


@global_batch("view_a", "view_b")
def dcl(
    view_a: Tensor,
    view_b: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-s_ip + log sum over negatives e^{s_ij}``, p the row's other view.

    Yeh et al. 2022, decoupled contrastive learning (arXiv 2110.06848). The negatives of both views
    stand in one log-sum-exp, as in the paper; lightly's ``DCLLoss`` adds one for each view.

    Args:
        view_a, view_b: [N, D]; row i of both is the same sample.
        temperature: above 0; a number, a tensor [] or [2N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([2N]: view_a's rows, then view_b's). Without
            negatives (N = 1) the loss is 0.

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> dcl(torch.eye(4), torch.eye(4), temperature=1.0)  # log(6) - 1
        tensor(0.7918)
    """
    s, r = two_views(view_a, view_b, temperature=temperature, normalize=normalize, path=path)
    some = ~r.isinf()
    return reduce(torch.where(some, r, 0) - s, reduction, valid=some)


class DCL(Loss):
    """:func:`dcl` as a module: ``forward(view_a, view_b)``."""

    function = staticmethod(dcl)
