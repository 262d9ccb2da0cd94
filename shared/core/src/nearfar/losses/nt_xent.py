"""NT-Xent, SimCLR's loss: find your other view among all rows of both views."""

from __future__ import annotations

from torch import Tensor

from nearfar.batch import Group
from nearfar.dispatch import Path
from nearfar.distributed import global_batch
from nearfar.losses.two_views import two_views
from nearfar.module import Loss
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus

__all__ = ["NTXent", "nt_xent"]


@global_batch("view_a", "view_b")
def nt_xent(
    view_a: Tensor,
    view_b: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-log( e^{s_ip} / (e^{s_ip} + sum over negatives e^{s_ij}) )``, p the row's other view.

    Chen et al. 2020 (arXiv 2002.05709). Equal to lightly's ``NTXentLoss`` (its default temperature
    is 0.5) and to pytorch-metric-learning's ``NTXentLoss`` with one label a pair.

    Args:
        view_a, view_b: [N, D]; row i of both is the same sample.
        temperature: above 0; a number, a tensor [] or [2N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([2N]: view_a's rows, then view_b's).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> nt_xent(torch.eye(4), torch.eye(4)) < 1e-3
        tensor(True)
    """
    s, r = two_views(view_a, view_b, temperature=temperature, normalize=normalize, path=path)
    return reduce(softplus(r - s), reduction)


class NTXent(Loss):
    """:func:`nt_xent` as a module: ``forward(view_a, view_b)``."""

    function = staticmethod(nt_xent)
