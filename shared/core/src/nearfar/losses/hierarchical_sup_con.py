"""SupCon over two levels of labels: subclasses first, their classes behind them."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar import inputs
from nearfar.batch import Group, codes_of, count_of, total_of
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import labels_of, paired, positive, scores_of
from nearfar.losses.sup_con import sup_con
from nearfar.module import Loss
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce
from nearfar.statistic import Statistic

__all__ = ["HierarchicalSupCon", "hierarchical_sup_con"]


@global_batch("embeddings", "labels", "sublabels")
def hierarchical_sup_con(
    embeddings: Tensor,
    labels: Tensor,
    sublabels: Tensor,
    *,
    weight: float = 0.25,
    temperature: float | Tensor = 0.1,
    coarse_temperature: float | Tensor | None = None,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """SupCon over subclasses plus ``weight`` times SupCon over the rest of the class.

    Subclass-balancing contrastive learning, SBCL (Hou et al. 2023, arXiv 2306.15925). In the second
    term the positives of row i are the rows of its class but not of its subclass, and its own
    subclass is left out of the denominator too. A term without a positive counts 0 in that row; a
    row without a positive in either has loss 0 and does not count in the mean.

    Args:
        embeddings: [N, D].
        labels: [N] integers, the classes.
        sublabels: [N] integers, the subclasses (say, clusters of a class); rows of one sublabel but
            two labels are of two subclasses.
        weight: of the second term; the paper takes 0.25, and 0.2 with a queue.
        temperature: above 0; a number, a tensor [] or [N], which may require grad.
        coarse_temperature: of the second term; None: the same.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0, no row has a
            positive.

    Example:
        >>> z = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
        >>> labels, sublabels = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 1])
        >>> hierarchical_sup_con(z, labels, sublabels) < 1e-3
        tensor(True)
    """
    x = inputs.embeddings("embeddings", embeddings, normalize=normalize)
    label, of_label = codes_of(labels_of("labels", labels, x))
    pairs = torch.stack([label, labels_of("sublabels", sublabels, x).to(label)], 1)
    sub, of_sub = codes_of(pairs)
    near, far = of_sub[sub] > 1, of_label[label] > of_sub[sub]  # has a positive in each term
    if count_of(near | far) == 0:
        raise ValueError(f"labels: none of {len(x)} rows has a positive; expected a repeated label")

    losses = x.new_zeros(len(x))
    if count_of(near) > 0:
        losses = sup_con(
            x, sub, temperature=temperature, normalize=False, reduction="none", path=path
        )
    coarse = temperature if coarse_temperature is None else coarse_temperature
    scale = 1 / positive("coarse_temperature", coarse, x)
    scores = scores_of(x, x, scale, normalized=normalize)
    (a,) = row_statistics(scores, [Statistic("lse", other(sub, sub))], path=path)

    def sums(codes: Tensor, size: Tensor) -> Tensor:
        own = x.new_zeros(len(size), x.shape[1]).index_add(0, codes, x)
        return total_of(own)[codes]  # N x D

    rest = sums(label, of_label) - sums(sub, of_sub)
    count = of_label[label] - of_sub[sub]
    second = torch.where(far, a, 0) - paired(x, rest, scale) / count.clamp(min=1)
    losses = losses + weight * torch.where(far, second, 0)
    return reduce(losses, reduction, valid=near | far)


class HierarchicalSupCon(Loss):
    """:func:`hierarchical_sup_con` as a module: ``forward(embeddings, labels, sublabels)``."""

    function = staticmethod(hierarchical_sup_con)
