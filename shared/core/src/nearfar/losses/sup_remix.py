"""SupCon for regression: rows of near labels repel less than rows of far ones."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar import inputs
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import Group, global_batch
from nearfar.inputs import paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other
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
    y, col = x, row
    if (reference is None) != (reference_labels is None):
        raise ValueError("reference and reference_labels go together; expected both or neither")
    if reference is not None and reference_labels is not None:
        more = inputs.embeddings("reference", reference, normalize=normalize, like=x)
        y = torch.cat([x, more])
        col = torch.cat([row, _numbers("reference_labels", reference_labels, more)])
    own = torch.arange(len(x), device=x.device)
    ids = torch.cat([own, own.new_full((len(y) - len(x),), -1)])
    _, codes, size = torch.unique(col, return_inverse=True, return_counts=True)
    count = size[codes[: len(x)]] - 1  # |P(i)|
    some = count > 0
    if not some.any():
        raise ValueError(f"labels: none of {len(x)} rows has a positive; expected a repeated label")
    scale = 1 / positive("temperature", temperature, x)
    everyone = Statistic("lse", other(own, ids), LabelDistance(row, col))
    (a,) = row_statistics(scores_of(x, y, scale, normalized=normalize), [everyone], path=path)
    total = y.new_zeros(len(size), y.shape[1]).index_add(0, codes, y)[codes[: len(x)]] - x
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
