"""Two views of a batch: each row's positive is its other view, its negatives all other rows."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.batch import row_numbers
from nearfar.dispatch import Path, row_statistics
from nearfar.inputs import beside, embeddings, positive, scores_of
from nearfar.pairs import other
from nearfar.statistic import Statistic

__all__ = ["two_views"]


def two_views(
    view_a: Tensor,
    view_b: Tensor,
    *,
    temperature: float | Tensor,
    normalize: bool,
    path: Path | None,
) -> tuple[Tensor, Tensor]:
    """The score of the positive [2N] and the log-sum-exp over the 2N - 2 negatives [2N].

    Rows are view_a's then view_b's; the log-sum-exp of one pair alone (N = 1) is -inf.
    """
    a = embeddings("view_a", view_a, normalize=normalize)
    b = beside("view_b", view_b, "view_a", a, normalize=normalize)
    z = torch.cat([a, b])  # 2N x D
    scale = 1 / positive("temperature", temperature, z)
    sample = row_numbers(a).repeat(2)
    negatives = Statistic("lse", other(sample, sample))  # neither itself nor its other view
    (r,) = row_statistics(scores_of(z, z, scale, normalized=normalize), [negatives], path=path)
    return (a * b).sum(1).repeat(2) * scale, r
