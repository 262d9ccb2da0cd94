"""DCLW: DCL whose hard positives weigh more."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import Group, lse_of, size_of
from nearfar.dispatch import Path
from nearfar.distributed import global_batch
from nearfar.inputs import embeddings
from nearfar.losses.two_views import two_views
from nearfar.module import Loss
from nearfar.reduction import Reduction, reduce

__all__ = ["DCLW", "dclw"]


@global_batch("view_a", "view_b")
def dclw(
    view_a: Tensor,
    view_b: Tensor,
    *,
    sigma: float = 0.5,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-w_i s_ip + log sum over negatives e^{s_ij}``, w_i = 2 - N softmax_i(<a_i, b_i> / sigma).

    Yeh et al. 2022 (arXiv 2110.06848), their von Mises-Fisher weights: 1 in the mean over the
    batch, less for pairs that are near already. The authors' code leaves the factor N out, so that
    its weights are nearly 2; here they are the paper's. Gradients pass through the weights, as
    there.

    Args:
        view_a, view_b: [N, D]; row i of both is the same sample.
        sigma: above 0; smaller sets the weights further apart.
        temperature: above 0; a number, a tensor [] or [2N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([2N]: view_a's rows, then view_b's). Without
            negatives (N = 1) the loss is 0.

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature or sigma <= 0.

    Example:
        >>> dclw(torch.eye(4), torch.eye(4), temperature=1.0)  # equal pairs weigh alike: DCL
        tensor(0.7918)
    """
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}; expected above 0")
    s, r = two_views(view_a, view_b, temperature=temperature, normalize=normalize, path=path)
    a = embeddings("view_a", view_a, normalize=normalize)
    b = embeddings("view_b", view_b, normalize=normalize)
    logits = (a * b).sum(1) / sigma
    w = 2 - size_of(a) * (logits - lse_of(logits)).exp()  # N: a softmax over the batch
    some = ~r.isinf()
    return reduce(torch.where(some, r, 0) - w.repeat(2) * s, reduction, valid=some)


class DCLW(Loss):
    """:func:`dclw` as a module: ``forward(view_a, view_b)``."""

    function = staticmethod(dclw)
