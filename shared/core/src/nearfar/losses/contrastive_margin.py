"""MCLRec's regulariser: scores of positives and negatives within one row come close together."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nearfar.batch import Group, all_of_ring, keys_of_ring, row_numbers, size_of, total_of
from nearfar.dispatch import Path
from nearfar.distributed import global_batch
from nearfar.inputs import beside, embeddings, paired, positive
from nearfar.module import Loss
from nearfar.nearest import nearest
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce

__all__ = ["ContrastiveMargin", "contrastive_margin"]


@global_batch("view_a", "view_b")
def contrastive_margin(
    view_a: Tensor,
    view_b: Tensor,
    *,
    over: Literal["row", "batch"] = "row",
    temperature: float | Tensor = 1.0,
    normalize: bool = False,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``[s_ip - o_min]_+ + mean over negatives of [o_max - s_ij]_+``, p the row's other view.

    Qin et al. 2023, MCLRec (arXiv 2304.07763), eq. 12 and 13::

        o_min = min(s_ip, max_j s_ij)    o_max = max(s_ip, max_j s_ij)

    of each row, as in the authors' code, or, as the paper may be read, ``o_min`` the least and
    ``o_max`` the largest of all rows'. No negative exceeds ``o_max``, so that the mean over
    negatives is linear in the scores: beside it the hardest negative of each row is all it takes.

    Args:
        view_a, view_b: [N, D]; row i of both is the same sample.
        over: what the bounds are of, a ``row`` or the ``batch``.
        temperature: above 0; a number, a tensor [] or [2N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([2N]: view_a's rows, then view_b's). Without
            negatives (N = 1) the loss is 0.
        path: one path serves all: the hardest negatives are looked for tile by tile.

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> contrastive_margin(torch.eye(4), torch.eye(4))  # [1 - 0] + mean of [1 - 0]
        tensor(2.)
    """
    a = embeddings("view_a", view_a, normalize=normalize)
    b = beside("view_b", view_b, "view_a", a, normalize=normalize)
    z = torch.cat([a, b])  # 2N x D
    scale = 1 / positive("temperature", temperature, z)
    negatives = 2 * size_of(a) - 2
    if negatives == 0:
        return reduce((z * 0).sum(1), reduction)
    sample = row_numbers(a).repeat(2)
    keys = keys_of_ring(z)
    (hardest,) = nearest(z, keys, 1, pairs=other(sample, all_of_ring(sample)))[0].T
    s = (a * b).sum(1).repeat(2) * scale
    m = paired(z, keys[hardest], scale)
    rest = total_of(z.sum(0)) - (a + b).repeat(2, 1)  # of each row, the sum of its negatives
    mean = paired(z, rest, scale) / negatives
    if over == "row":
        low, high = torch.minimum(s, m), torch.maximum(s, m)
    elif over == "batch":
        all_s, all_m = keys_of_ring(s), keys_of_ring(m)
        low = torch.minimum(all_s.min(), all_m.max())
        high = torch.maximum(all_s.max(), all_m.max())
    else:
        raise ValueError(f"over is {over!r}; expected 'row' or 'batch'")
    return reduce(s - low + high - mean, reduction)


class ContrastiveMargin(Loss):
    """:func:`contrastive_margin` as a module: ``forward(view_a, view_b)``."""

    function = staticmethod(contrastive_margin)
