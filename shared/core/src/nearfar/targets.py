"""Soft targets: how much key j is row i's positive, without the N x M matrix of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag, normalize

from nearfar.batch import ring_now, total_of
from nearfar.collectives import Round
from nearfar.streaming import blocks

__all__ = ["Factored", "Listed", "Targets", "Teacher"]

TILE = 1024


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
            sums: Tensor = self.rows.to(keys) @ total_of(self.cols.to(keys).sum(0))
        return sums

    def sums(self, keys: Tensor) -> Tensor:
        with torch.autocast(keys.device.type, enabled=False):
            # (N x F)(F x D)
            sums: Tensor = self.rows.to(keys) @ total_of(self.cols.to(keys).T @ keys)
        return sums


@dataclass(frozen=True)
class Teacher:
    """Weights ``softmax_j(<rows_i, cols_j> / temperature)`` of a teacher's embeddings.

    Distillation of a batch's relations (CRD, SEED), and soft-CLIP with the second modality as its
    own teacher (M3CoL, arXiv 2409.17777). No gradient passes to rows [N, F] and cols [M, F].
    """

    rows: Tensor
    cols: Tensor
    temperature: float

    def check(self, rows: int, keys: int) -> None:
        if len(self.rows) != rows or len(self.cols) != keys:
            raise ValueError(
                f"targets: rows {tuple(self.rows.shape)} and cols {tuple(self.cols.shape)}; "
                f"expected [{rows}, F] and [{keys}, F]"
            )
        if self.temperature <= 0:
            raise ValueError(f"targets: temperature is {self.temperature}; expected above 0")

    def totals(self, keys: Tensor) -> Tensor:
        return keys.new_ones(len(self.rows))

    def sums(self, keys: Tensor) -> Tensor:
        with torch.autocast(keys.device.type, enabled=False):
            total: Tensor = _SoftmaxMean.apply(  # type: ignore[no-untyped-call]
                self.rows.detach().to(keys) / self.temperature,
                self.cols.detach().to(keys),
                keys,
                ring_now(),
            )
        return total


class _SoftmaxMean(torch.autograd.Function):
    """``softmax(x c^T) keys``, tile by tile, with the gradient to keys."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, c: Tensor, keys: Tensor, group: dist.ProcessGroup | None
    ) -> Tensor:
        shift = x.new_full((len(x), 1), -torch.inf)
        total, mean = torch.zeros_like(shift), keys.new_zeros(len(x), keys.shape[1])
        for some_c, some_keys in Round([c, keys], group):
            for rows in blocks(len(x), TILE):
                for cols in blocks(len(some_c), TILE):
                    s = x[rows] @ some_c[cols].T
                    top = torch.maximum(shift[rows], s.amax(1, keepdim=True))
                    old, e = (shift[rows] - top).exp(), s.sub_(top).exp_()
                    total[rows] = total[rows] * old + e.sum(1, keepdim=True)
                    mean[rows] = (mean[rows] * old).addmm_(e, some_keys[cols])
                    shift[rows] = top
        ctx.save_for_backward(x, c, shift + total.log())
        ctx.group = group
        return mean / total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, None, Tensor, None]:
        x, c, normaliser = ctx.saved_tensors
        around = Round([c, upstream.new_zeros(len(c), upstream.shape[1])], ctx.group, home=True)
        with torch.autocast(x.device.type, enabled=False):
            for some_c, gradient in around:
                for rows in blocks(len(x), TILE):
                    for cols in blocks(len(some_c), TILE):
                        p = (x[rows] @ some_c[cols].T).sub_(normaliser[rows]).exp_()
                        gradient[cols].addmm_(p.T, upstream[rows])
        return None, None, around.here()[1], None


Targets = Listed | Factored | Teacher
