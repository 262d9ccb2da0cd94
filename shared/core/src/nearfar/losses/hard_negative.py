"""HCL: NT-Xent that weighs hard negatives more and corrects for false ones."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import Group, size_of
from nearfar.dispatch import Path
from nearfar.distributed import global_batch
from nearfar.losses.two_views import two_views
from nearfar.module import Loss
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus

__all__ = ["HardNegative", "hard_negative"]


@global_batch("view_a", "view_b")
def hard_negative(
    view_a: Tensor,
    view_b: Tensor,
    *,
    beta: float = 1.0,
    tau_plus: float = 0.1,
    temperature: float | Tensor = 0.5,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-log( e^{s_ip} / (e^{s_ip} + R_i) )``, R_i an estimate over true, hard negatives::

        R_i = max( (M E_w[e^{s_ij}] - M tau_plus e^{s_ip}) / (1 - tau_plus), M e^{-1/temperature} )

    over the M = 2N - 2 negatives with weights w_j ~ e^{beta s_ij}. Robinson et al. 2021 (arXiv
    2010.04592); ``beta=0`` is debiased contrastive learning, Chuang et al. 2020 (arXiv 2007.00224),
    ``beta=0, tau_plus=0`` is NT-Xent, and ``tau_plus=0`` weighted SimCLR. Gradients pass through
    the weights, as in the authors' code.

    Args:
        view_a, view_b: [N, D]; row i of both is the same sample.
        beta: >= 0; larger weighs nearer negatives more.
        tau_plus: 0 to below 1; the chance that a negative is of the anchor's own class.
        temperature: above 0; a number, a tensor [] or [2N], which may require grad.
        normalize: scale all rows to unit norm first; without it the lower bound of R_i is no bound
            of the scores, as in the paper rows have norm 1.
        reduction: ``mean``, ``sum`` or ``none`` ([2N]: view_a's rows, then view_b's).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0, beta or
            tau_plus outside their range.

    Example:
        >>> a = torch.eye(4)
        >>> easy = hard_negative(a, a, beta=0.0, tau_plus=0.0)
        >>> hard_negative(a, a, beta=2.0, tau_plus=0.0) >= easy
        tensor(True)
    """
    if beta < 0:
        raise ValueError(f"beta is {beta}; expected 0 or more")
    if not 0 <= tau_plus < 1:
        raise ValueError(f"tau_plus is {tau_plus}; expected 0 to below 1")

    def lse(power: float) -> tuple[Tensor, Tensor]:
        return two_views(
            view_a, view_b, temperature=temperature / power, normalize=normalize, path=path
        )

    s, r = lse(1.0)
    log_m = s.new_tensor(max(1, size_of(s) - 2)).log()
    if beta > 0:
        top, bottom = lse(1 + beta)[1], lse(beta)[1]
        # log( M E_w[e^s] ) = log M + log sum e^{(1 + beta) s} - log sum e^{beta s}
        some = ~bottom.isinf()
        r = torch.where(some, log_m + torch.where(some, top, 0) - torch.where(some, bottom, 0), r)
    if tau_plus > 0:
        # log(e^r - M tau e^s), where it is positive; the lower bound elsewhere.
        false = log_m + s.new_tensor(tau_plus).log() + s
        gap = (false - r).clamp(max=-1e-6)
        debiased = r + torch.log1p(-gap.exp()) - s.new_tensor(1 - tau_plus).log()
        bound = (log_m - 1 / torch.as_tensor(temperature).to(r)).expand_as(r)
        r = torch.where((false < r) & (debiased > bound) & ~r.isinf(), debiased, bound)
    return reduce(softplus(r - s), reduction)


class HardNegative(Loss):
    """:func:`hard_negative` as a module: ``forward(view_a, view_b)``."""

    function = staticmethod(hard_negative)
