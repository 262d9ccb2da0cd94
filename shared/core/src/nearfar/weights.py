"""Log-weights of pairs that follow from one vector a row and one a column, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["ClusterDisagreement", "LabelDistance", "PairWeight"]


class PairWeight(Protocol):
    """A rule for log w_ij; no gradient passes through it."""

    def tile(self, rows: slice, cols: slice, dtype: torch.dtype) -> Tensor:
        """Log-weights of one tile: [n, m]."""

    def of_rows(self, rows: slice) -> PairWeight:
        """The weights of some rows alone."""

    @property
    def of_keys(self) -> Tensor:
        """What belongs to the keys: [M, ...]."""

    def with_keys(self, keys: Tensor) -> PairWeight:
        """The weights of the same rows with other keys, of whom this is ``of_keys``."""


@dataclass(frozen=True)
class ClusterDisagreement:
    """``log( number of clusterings in which i and j are apart )``; -inf where they never are.

    Codes are integers, rows [N, K] and cols [M, K] for K clusterings.
    """

    rows: Tensor
    cols: Tensor

    def tile(self, rows: slice, cols: slice, dtype: torch.dtype) -> Tensor:
        apart = self.rows[rows, None, 0] != self.cols[None, cols, 0]  # n x m
        count = apart.to(dtype)
        for number in range(1, self.rows.shape[1]):
            count += self.rows[rows, None, number] != self.cols[None, cols, number]
        return count.log_()

    def of_rows(self, rows: slice) -> ClusterDisagreement:
        return replace(self, rows=self.rows[rows])

    @property
    def of_keys(self) -> Tensor:
        return self.cols

    def with_keys(self, keys: Tensor) -> ClusterDisagreement:
        return replace(self, cols=keys)


@dataclass(frozen=True)
class LabelDistance:
    """``log( |rows_i - cols_j| + 1 )`` of scalar labels: rows [N], cols [M]."""

    rows: Tensor
    cols: Tensor

    def tile(self, rows: slice, cols: slice, dtype: torch.dtype) -> Tensor:
        return (self.rows[rows, None] - self.cols[None, cols]).to(dtype).abs_().log1p_()

    def of_rows(self, rows: slice) -> LabelDistance:
        return replace(self, rows=self.rows[rows])

    @property
    def of_keys(self) -> Tensor:
        return self.cols

    def with_keys(self, keys: Tensor) -> LabelDistance:
        return replace(self, cols=keys)
