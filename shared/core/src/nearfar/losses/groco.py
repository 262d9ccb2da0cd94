"""GroCo: the positive is to come out on top when a row's candidates are sorted."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from nearfar.batch import Group, ring_now, row_numbers, size_of
from nearfar.collectives import Round
from nearfar.distributed import global_batch
from nearfar.inputs import beside, embeddings
from nearfar.module import Loss
from nearfar.nearest import nearest
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce

__all__ = ["GroCo", "groco"]


@global_batch("view_a", "view_b")
def groco(
    view_a: Tensor,
    view_b: Tensor,
    *,
    hardest: int = 10,
    steepness: float = 1.0,
    normalize: bool = True,
    reduction: Reduction = "mean",
    group: Group = None,
) -> Tensor:
    """Cross-entropy of a differentiable sort of [hardest negatives, positive] by similarity.

    Shvetsova et al. 2023 (arXiv 2301.02009). Each row's ``hardest`` nearest rows of other samples,
    ascending, and its other view pass an odd-even sorting network whose comparisons are relaxed by
    ``atan(steepness * difference) / pi + 1/2``; the probability of each to come out at the top is
    held against whether it is the positive. Gradients pass to the anchor alone.

    Args:
        view_a, view_b: [N, D]; row i of both is the same sample.
        hardest: negatives a row; at most 2N - 2 are there.
        steepness: of the comparisons, above 0.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([2N]: view_a's rows, then view_b's). A row without
            a negative has loss 0 and does not count in the mean.

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, hardest < 1, steepness <= 0.

    Example:
        >>> z = 9 * torch.eye(4)
        >>> groco(z, z, hardest=2, steepness=9) < groco(z, z.roll(1, 0), hardest=2, steepness=9)
        tensor(True)
    """
    a = embeddings("view_a", view_a, normalize=normalize)
    b = beside("view_b", view_b, "view_a", a, normalize=normalize)
    if hardest < 1 or steepness <= 0:
        raise ValueError(
            f"hardest is {hardest}, steepness {steepness}; expected at least 1, and above 0"
        )
    z, everyone = torch.cat([a, b]), size_of(a)
    if everyone == 1:  # nobody else is there
        return reduce(z.sum(1) * 0, reduction, valid=torch.zeros(2, dtype=torch.bool).to(a.device))
    held = z.detach()
    negatives = _hardest(held, row_numbers(a).repeat(2), min(hardest, 2 * everyone - 2))
    # 2N x (h + 1) x D
    candidates = torch.cat([negatives, held.roll(len(a), 0)[:, None]], 1)
    top = _top_of_sort((candidates * z[:, None]).sum(2), steepness)
    is_positive = torch.zeros_like(top)
    is_positive[:, -1] = 1
    return reduce(binary_cross_entropy(top, is_positive, reduction="none").mean(1), reduction)


def _hardest(rows: Tensor, sample: Tensor, k: int) -> Tensor:
    """The k nearest rows [N, k, D] of other samples to each of rows [N, D], the nearest last."""
    best = rows.new_full((len(rows), 0), -torch.inf)
    found = rows.new_empty(len(rows), 0, rows.shape[1])
    for keys, of in Round([rows, sample], ring_now()):
        index, score = nearest(rows, keys, min(k, len(keys)), pairs=other(sample, of))
        best, order = torch.cat([best, score], 1).topk(min(k, best.shape[1] + score.shape[1]))
        both = torch.cat([found, keys[index]], 1)
        found = both.gather(1, order[:, :, None].expand(-1, -1, rows.shape[1]))
    return found.flip(1)


def _top_of_sort(values: Tensor, steepness: float) -> Tensor:
    """The probability of each of [N, n] values to come out last of an ascending relaxed sort.

    Petersen et al. 2022 (arXiv 2203.09630): n rounds of comparisons of neighbours; ``place`` holds
    how much of each value is at each position.
    """
    n = values.shape[1]
    place = torch.eye(n).to(values).expand(len(values), n, n)  # values x positions
    for turn in range(n):
        low, high = torch.arange(turn % 2, n - 1, 2), torch.arange(turn % 2 + 1, n, 2)
        if len(low) == 0:
            continue
        a, b = values[:, low], values[:, high]
        keep = torch.atan(steepness * (b - a)) / math.pi + 0.5  # that the pair is in order
        values = values.index_copy(1, low.to(a.device), keep * a + (1 - keep) * b)
        values = values.index_copy(1, high.to(a.device), keep * b + (1 - keep) * a)
        p, q, keep = place[:, :, low], place[:, :, high], keep[:, None]
        place = place.index_copy(2, low.to(a.device), keep * p + (1 - keep) * q)
        place = place.index_copy(2, high.to(a.device), keep * q + (1 - keep) * p)
    return place[:, :, -1].clamp(0, 1)


class GroCo(Loss):
    """:func:`groco` as a module: ``forward(view_a, view_b)``."""

    function = staticmethod(groco)
