"""Soft targets: how much key j is row i's positive, without the N x M matrix of weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

__all__ = ["Factored", "Listed", "Targets"]


@dataclass(frozen=True)
class Listed:
    """Row i's positives are the keys ``index[i]`` with weights ``weight[i]``, both [N, k]."""

    index: Tensor
    weight: Tensor

    def check(self, rows: int, keys: int) -> None:
        """Raises ValueError where this does not fit so many rows and keys."""
        if self.index.shape != self.weight.shape or self.index.shape[:-1] != (rows,):
            raise ValueError(
                f"targets: index {tuple(self.index.shape)} and weight {tuple(self.weight.shape)}; "
                f"expected both [{rows}, k]"
            )
        if self.index.numel() and not 0 <= int(self.index.min()) <= int(self.index.max()) < keys:
            raise ValueError(f"targets: an index outside the keys; expected 0 to {keys - 1}")

    def totals(self, keys: Tensor) -> Tensor:
        """The sum of each row's weights: [N]."""
        return self.weight.to(keys).sum(1)

    def sums(self, keys: Tensor) -> Tensor:
        """Each row's weighted sum of keys: keys [M, D] -> [N, D]."""
        total: Tensor = embedding_bag(
            self.index, keys, per_sample_weights=self.weight.to(keys), mode="sum"
        )
        return total


@dataclass(frozen=True)
class Factored:
    """Weights ``<rows_i, cols_j>`` of rank F: rows [N, F], cols [M, F].

    ``Factored.cosine`` makes those of CWCL from a frozen encoder's embeddings.
    """

    rows: Tensor
    cols: Tensor

    @classmethod
    def cosine(cls, rows: Tensor, cols: Tensor) -> Factored:
        """Weights ``(cos(rows_i, cols_j) + 1) / 2`` of embeddings [N, F] and [M, F]."""
        half = 0.5**0.5
        one = normalize(rows, dim=1), normalize(cols, dim=1)
        left, right = (torch.cat([z * half, torch.full_like(z[:, :1], half)], 1) for z in one)
        return cls(left, right)

    def check(self, rows: int, keys: int) -> None:
        if len(self.rows) != rows or len(self.cols) != keys:
            raise ValueError(
                f"targets: rows {tuple(self.rows.shape)} and cols {tuple(self.cols.shape)}; "
                f"expected [{rows}, F] and [{keys}, F]"
            )

    def totals(self, keys: Tensor) -> Tensor:
        with torch.autocast(keys.device.type, enabled=False):
            return self.rows.to(keys) @ self.cols.to(keys).sum(0)

    def sums(self, keys: Tensor) -> Tensor:
        with torch.autocast(keys.device.type, enabled=False):
            return self.rows.to(keys) @ (self.cols.to(keys).T @ keys)  # (N x F)(F x D)


Targets = Listed | Factored
