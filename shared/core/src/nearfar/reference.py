"""The core operation by its definition: dense, a page long, differentiated by autograd.

Every other path is tested against this one. It stores the N x M scores, so it is for tests, for
small problems and for reading.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.softplus import softplus
from nearfar.statistic import Scores, Statistic

__all__ = ["row_statistics"]


def row_statistics(scores: Scores, statistics: Sequence[Statistic]) -> tuple[Tensor, ...]:
    """One tensor [N] a statistic."""
    s = scores.queries @ scores.keys.T * scores.scale.reshape(-1, 1)  # N x M
    if scores.bias is not None:
        s = s + scores.bias
    return tuple(_row(s, statistic) for statistic in statistics)


def _row(s: Tensor, statistic: Statistic) -> Tensor:
    mask = ~torch.as_tensor(statistic.pairs.mask(), device=s.device).expand_as(s)
    match statistic.kind:
        case "lse" | "mean":
            weight = statistic.weight_tile(slice(None), slice(None), s.dtype)
            logits = s if weight is None else s + weight
            logits = logits.masked_fill(~mask, -torch.inf)
            # Only rows that have a pair pass through the softmax: none of them is all -inf.
            some = (logits > -torch.inf).any(1)
            logits = logits[some]
            if statistic.kind == "lse":
                empty = s.new_full((len(s),), -torch.inf)
                return empty.index_put((some,), logits.logsumexp(1))
            mean = (logits.softmax(1) * s[some]).sum(1)
            return s.new_zeros(len(s)).index_put((some,), mean)
        case "moment":
            return torch.where(mask, s, 0).sum(1)
        case "softplus":
            return torch.where(mask, softplus(s), 0).sum(1)
        case "softminus":
            return torch.where(mask, softplus(-s), 0).sum(1)
