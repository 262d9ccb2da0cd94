"""Batches that contrast what is hard to tell apart, or that hold all classes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

__all__ = ["ClassBalancedBatches", "SameClusterBatches"]


class SameClusterBatches(Sampler[list[int]]):
    """Batches drawn from one cluster each: what tells clusters apart is then no help.

    Multi-stage contrastive learning, MCL (Zhang et al. 2024): each stage clusters the embeddings of
    the stages before, and draws batches inside cells, so that features suppressed so far are
    learnt. From the second stage on give a column of assignments a stage: a cell agrees in all.

    Args:
        assignments: [N] or [N, stages] integers.
        batch: rows a batch; a cell's last rows make a smaller batch, at least two.
        seed: with :meth:`set_epoch`, the order.

    Example:
        >>> batches = list(SameClusterBatches(torch.tensor([0, 1, 0, 1, 0]), batch=4))
        >>> sorted(sorted(b) for b in batches)
        [[0, 2, 4], [1, 3]]
    """

    def __init__(self, assignments: Tensor, batch: int, *, seed: int = 0) -> None:
        if batch < 2:
            raise ValueError(f"batch is {batch}; expected two rows or more")
        table = assignments.reshape(len(assignments), -1)
        cells = torch.unique(table, dim=0, return_inverse=True)[1]
        self.cells = [
            rows for c in range(int(cells.max()) + 1) if len(rows := _where(cells, c)) > 1
        ]
        self.batch, self.seed, self.epoch = batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(_parts(len(rows), self.batch) for rows in self.cells)

    def __iter__(self) -> Iterator[list[int]]:
        g = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        batches: list[Tensor] = []
        for rows in self.cells:
            order = rows[torch.randperm(len(rows), generator=g)]
            # As even as can be: a last batch of one row would have nothing to contrast.
            batches += torch.tensor_split(order, _parts(len(rows), self.batch))
        for number in torch.randperm(len(batches), generator=g).tolist():
            yield batches[number].tolist()


class ClassBalancedBatches(Sampler[list[int]]):
    """Batches of ``classes`` classes with ``rows_each`` rows: every row has positives, rare classes
    come as often as frequent ones.

    A class is drawn by chance, and its rows without replacement until all were seen.

    Args:
        labels: [N] integers; those below 0 are left out.
        classes: a batch; at most as many as there are. rows_each: of a class in a batch.
        batches: an epoch; None: as many as the rows fill.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
        >>> (batch,) = ClassBalancedBatches(labels, classes=2, rows_each=2, batches=1)
        >>> sorted(labels[batch].tolist())
        [0, 0, 1, 1]
    """

    def __init__(
        self,
        labels: Tensor,
        *,
        classes: int,
        rows_each: int,
        batches: int | None = None,
        seed: int = 0,
    ) -> None:
        self.rows = [_where(labels, c) for c in labels[labels >= 0].unique().tolist()]
        if not 1 <= classes <= len(self.rows) or rows_each < 1:
            raise ValueError(
                f"classes {classes}, rows_each {rows_each}; expected 1 to {len(self.rows)} classes "
                "and one row or more"
            )
        self.classes, self.rows_each, self.seed, self.epoch = classes, rows_each, seed, 0
        filled = sum(map(len, self.rows)) // (classes * rows_each)
        self.batches = max(1, filled) if batches is None else batches

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        g = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        left: list[list[int]] = [[] for _ in self.rows]
        for _ in range(self.batches):
            batch: list[int] = []
            for c in torch.randperm(len(self.rows), generator=g)[: self.classes].tolist():
                while len(left[c]) < self.rows_each:
                    left[c] += self.rows[c][torch.randperm(len(self.rows[c]), generator=g)].tolist()
                batch += left[c][: self.rows_each]
                del left[c][: self.rows_each]
            yield batch


def _where(codes: Tensor, code: int) -> Tensor:
    return (codes == code).nonzero()[:, 0]


def _parts(rows: int, batch: int) -> int:
    """The fewest parts of at most ``batch`` rows that hold two rows each."""
    return min(-(-rows // batch), rows // 2)
