"""SupCon for regression: rows of near labels repel less than rows of far ones."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar import inputs
from nearfar.batch import Group, at_hand, codes_of, count_of, row_numbers, total_of
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import everything, other
from nearfar.reduction import Reduction, reduce
from nearfar.statistic import Statistic
from nearfar.weights import LabelDistance

__all__ = ["SupReMix", "sup_remix"]


@global_batch("embeddings", "labels")
def sup_remix(
    embeddings: Tensor,
    labels: Tensor,
    *,
    reference: Tensor | None = None,
    reference_labels: Tensor | None = None,
    temperature: float | Tensor = 0.3,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-1/|P(i)| sum_{p in P(i)} log( e^{s_ip} / sum_a (|y_i - y_a| + 1) e^{s_ia} )``.

    Supervised contrast for regression, SupReMix (Wu et al. 2024, arXiv 2309.16633). P(i) are the
    rows of exactly i's label; the further a label, the heavier its row in the denominator. Mixtures
    (:func:`nearfar.mixing.label_mixtures`) go in as ``reference``, detached. The mean over
    positives is over their number; the authors' code divides by one more.

    Args:
        embeddings: [N, D].
        labels: [N] numbers, the regression targets.
        reference, reference_labels: [M, D] and [M], further rows that every row meets, or None.
        temperature: above 0; a number, a tensor [] or [N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]); a row without a positive has loss 0 and does
            not count in the mean.

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0, no row has a
            positive.

    Example:
        >>> z = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
        >>> near, far = torch.tensor([1.0, 1, 2, 2]), torch.tensor([1.0, 1, 90, 90])
        >>> sup_remix(z, near) < sup_remix(z, far)
        tensor(True)
    """
    x = inputs.embeddings("embeddings", embeddings, normalize=normalize)
    row = _numbers("labels", labels, x)
    if (reference is None) != (reference_labels is None):
        raise ValueError("reference and reference_labels go together; expected both or neither")
    scale = 1 / positive("temperature", temperature, x)
    own = row_numbers(x)
    everyone = Statistic("lse", other(own, own), LabelDistance(row, row))
    (a,) = row_statistics(scores_of(x, x, scale, normalized=normalize), [everyone], path=path)
    code, size = codes_of(row)
    total = total_of(x.new_zeros(len(size), x.shape[1]).index_add(0, code, x))[code] - x
    count = size[code] - 1  # |P(i)|
    if reference is not None and reference_labels is not None:
        y = inputs.embeddings("reference", reference, normalize=normalize, like=x)
        col = _numbers("reference_labels", reference_labels, y)
        further = Statistic("lse", everything(), LabelDistance(row, col))
        with at_hand():
            (b,) = row_statistics(
                scores_of(x, y, scale, normalized=normalize), [further], path=path
            )
        a = torch.logaddexp(a, b)
        known = torch.unique(torch.cat([row, col]))
        at, of = torch.searchsorted(known, row), torch.searchsorted(known, col)
        total = total + y.new_zeros(len(known), y.shape[1]).index_add(0, of, y)[at]
        count = count + torch.bincount(of, minlength=len(known))[at]
    some = count > 0
    if count_of(some) == 0:
        raise ValueError(f"labels: none of {len(x)} rows has a positive; expected a repeated label")
    losses = torch.where(some, a, 0) - paired(x, total, scale) / count.clamp(min=1)
    return reduce(losses, reduction, valid=some)


def _numbers(name: str, labels: Tensor, rows: Tensor) -> Tensor:
    if labels.shape != (len(rows),):
        raise ValueError(f"{name} has shape {tuple(labels.shape)}; expected ({len(rows)},)")
    labels = labels.to(rows)
    if labels.device.type == "cpu" and not torch.isfinite(labels).all():
        raise ValueError(f"{name} has NaN or infinity; expected numbers")
    return labels


class SupReMix(Loss):
    """:func:`sup_remix` as a module: ``forward(embeddings, labels)``, references at the call."""

    function = staticmethod(sup_remix)
    inputs = frozenset({"reference", "reference_labels"})
