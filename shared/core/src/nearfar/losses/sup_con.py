"""SupCon: rows of one label are each other's positives."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor

from nearfar import inputs
from nearfar.batch import Group, at_hand, codes_of, count_of, row_numbers, total_of
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import labels_of, paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import everything, other, same
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus
from nearfar.statistic import Statistic

__all__ = ["SupCon", "sup_con"]


@global_batch("embeddings", "labels")
def sup_con(
    embeddings: Tensor,
    labels: Tensor,
    *,
    reference: Tensor | None = None,
    reference_labels: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    positives: Literal["out", "in"] = "out",
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """Supervised contrastive loss, Khosla et al. 2020 (arXiv 2004.11362).

    With P(i) the rows of i's label and A(i) all rows, i itself in neither::

        out:  -1/|P(i)| sum_{p in P(i)} log( e^{s_ip} / sum_{a in A(i)} e^{s_ia} )
        in:   -log( 1/|P(i)| sum_{p in P(i)} e^{s_ip} / sum_{a in A(i)} e^{s_ia} )

    Given a reference set, P(i) and A(i) are rows of it and none is left out: it holds other rows.
    A row without a positive has loss 0 and does not count in the mean. "out" equals
    pytorch-metric-learning's ``SupConLoss``.

    Args:
        embeddings: [N, D].
        labels: [N] integers.
        reference, reference_labels: [M, D] and [M], or None: the batch itself.
        temperature: above 0; a number, a tensor [] or [N], which may require grad.
        normalize: scale all rows to unit norm first.
        positives: where the mean over positives stands, outside or inside the logarithm.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0, no row has a
            positive.

    Example:
        >>> z = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
        >>> sup_con(z, torch.tensor([0, 0, 1, 1])) < 1e-3
        tensor(True)
    """
    x = inputs.embeddings("embeddings", embeddings, normalize=normalize)
    row = labels_of("labels", labels, x)
    if (reference is None) != (reference_labels is None):
        raise ValueError("reference and reference_labels go together; expected both or neither")
    if reference is None or reference_labels is None:
        own, keys_at_hand = row_numbers(x), False
        row, size = codes_of(row)
        count = size[row] - 1  # |P(i)|
        # One tensor on both sides tells the symmetric schedule that it fits.
        y, col, admitted = x, row, other(own, own)
    else:
        y, keys_at_hand = (
            inputs.embeddings("reference", reference, normalize=normalize, like=x),
            True,
        )
        col, admitted = labels_of("reference_labels", reference_labels, y), everything()
        known = torch.unique(torch.cat([row, col]))
        row, col = torch.searchsorted(known, row), torch.searchsorted(known, col)
        size = torch.bincount(col, minlength=len(known))
        count = size[row]
    some = count > 0
    if count_of(some) == 0:
        raise ValueError(f"labels: none of {len(x)} rows has a positive; expected a repeated label")

    scale = 1 / positive("temperature", temperature, x)
    scores = scores_of(x, y, scale, normalized=normalize)
    with at_hand() if keys_at_hand else nullcontext():
        if positives == "out":
            # The mean over positives is linear in the scores: a class sum, no pass over pairs.
            (a,) = row_statistics(scores, [Statistic("lse", admitted)], path=path)
            sums = y.new_zeros(len(size), y.shape[1]).index_add(0, col, y)
            total = total_of(sums).index_select(0, row)  # N x D
            if reference is None:
                total = total - x
            losses = torch.where(some, a, 0) - paired(x, total, scale) / count.clamp(min=1)
        elif positives == "in":
            near = Statistic("lse", admitted & same(row, col))
            far = Statistic("lse", admitted & other(row, col))
            p, r = row_statistics(scores, [near, far], path=path)
            losses = softplus(r - torch.where(some, p, 0)) + count.clamp(min=1).to(p).log()
        else:
            raise ValueError(f"positives is {positives!r}; expected 'out' or 'in'")
    return reduce(losses, reduction, valid=some)


class SupCon(Loss):
    """:func:`sup_con` as a module: ``forward(embeddings, labels)``, with ``reference=`` and
    ``reference_labels=`` at the call."""

    function = staticmethod(sup_con)
    inputs = frozenset({"reference", "reference_labels"})
