"""Sinkhorn's algorithm in the log domain: scores to a soft assignment of equal shares."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nearfar.batch import all_of_ring, size_of

__all__ = ["sinkhorn"]


@torch.no_grad()
def sinkhorn(scores: Tensor, *, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """Soft assignments [N, K], rows sum to 1 and columns to about N / K.

    Cuturi 2013 (arXiv 1306.0895) as SwAV uses it (arXiv 2006.09882): ``exp(scores / epsilon)`` is
    scaled column by column to ``1 / K`` and row by row to ``1 / N`` in turn. Log-sum-exps keep
    small epsilon and large scores from overflowing, which the usual form does not.

    Args:
        scores: [N, K].
        epsilon: above 0; smaller is harder.
        iterations: at least 1.

    Raises:
        ValueError: not a matrix, or a setting out of range.

    Example:
        >>> sinkhorn(torch.tensor([[1.0, 0.9], [0.9, 0.1]]), epsilon=0.01, iterations=9).round()
        tensor([[0., 1.],
                [1., 0.]])
    """
    if scores.ndim != 2 or not scores.numel():
        raise ValueError(f"scores has shape {tuple(scores.shape)}; expected [N, K]")
    if not epsilon > 0 or iterations < 1:
        raise ValueError(
            f"epsilon {epsilon}, iterations {iterations}; expected above 0 and 1 or up"
        )
    log_q = scores.to(torch.promote_types(scores.dtype, torch.float32)) / epsilon
    rows, columns = size_of(scores), scores.shape[1]
    for _ in range(iterations):
        # Each column's sum is of all processes' rows.
        of_column = all_of_ring(log_q.logsumexp(0, keepdim=True)).logsumexp(0, keepdim=True)
        log_q = log_q - of_column - math.log(columns)
        log_q = log_q - log_q.logsumexp(1, keepdim=True) - math.log(rows)
    return (log_q + math.log(rows)).exp()
