"""What the core operation can keep of a row of scores, and the scores themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from nearfar.pairs import Pairs
from nearfar.weights import PairWeight

__all__ = ["Scores", "Statistic"]


@dataclass(frozen=True)
class Scores:
    """The scores ``s_ij = scale_i <queries_i, keys_j> + bias_j``, not computed."""

    queries: Tensor  # [N, D]
    keys: Tensor  # [M, D]
    scale: Tensor  # [] or [N]: 1 / temperature
    bias: Tensor | None = None  # [M]
    bounded: bool = False  # |s_ij| <= 40 for sure: exp(s_ij) needs no shift


@dataclass(frozen=True)
class Statistic:
    """One number a row, over the pairs of a rule.

    ========== ==================================================================
    kind       value of row i, j over the pairs (i, j) that ``pairs`` admits
    ========== ==================================================================
    lse        ``log sum_j exp(s_ij + log_weight_j)``; -inf where there is no pair
    mean       ``sum_j p_ij s_ij``, p the softmax of the line above; 0 where none
    moment     ``sum_j s_ij``
    softplus   ``sum_j log(1 + exp(s_ij))``
    softminus  ``sum_j log(1 + exp(-s_ij))``
    ========== ==================================================================
    """

    kind: Literal["lse", "mean", "moment", "softplus", "softminus"]
    pairs: Pairs
    log_weight: Tensor | PairWeight | None = None  # [M] or a rule, no gradient; for lse and mean

    def of_rows(self, rows: slice) -> Statistic:
        """The same of some rows alone."""
        weight = self.log_weight
        if weight is not None and not isinstance(weight, Tensor):
            weight = weight.of_rows(rows)
        return replace(self, pairs=self.pairs.of_rows(rows), log_weight=weight)

    def weight_tile(self, rows: slice, cols: slice, dtype: torch.dtype) -> Tensor | None:
        """The log-weights of one tile, to be added to its scores: [n, m] or [m]."""
        if isinstance(self.log_weight, Tensor):
            return self.log_weight[cols]
        return None if self.log_weight is None else self.log_weight.tile(rows, cols, dtype)
