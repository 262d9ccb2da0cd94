"""A first-in-first-out queue of keys, MoCo's memory of earlier batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Queue"]


class Queue(nn.Module):
    """Keys of earlier batches, with their labels where they have any; part of ``state_dict``.

    He et al. 2020 (arXiv 1911.05722). ``info_nce(queries, keys, negatives=queue.keys)``; with
    labels, ``sup_con(x, labels, reference=queue.keys, reference_labels=queue.labels)``.

    Args:
        size: rows kept. width: D.

    Example:
        >>> queue = Queue(5, 2)
        >>> queue.push(torch.ones(3, 2))
        >>> queue.push(torch.zeros(4, 2))
        >>> queue.keys[:, 0]  # oldest first
        tensor([1., 0., 0., 0., 0.])
    """

    rows: Tensor
    codes: Tensor
    count: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        if size < 1 or width < 1:
            raise ValueError(f"size {size}, width {width}; expected at least 1")
        self.register_buffer("rows", torch.zeros(size, width))
        self.register_buffer("codes", torch.full((size,), -1))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))  # ever pushed

    @torch.no_grad()
    def push(self, keys: Tensor, labels: Tensor | None = None) -> None:
        """Adds keys [N, D] and labels [N] (-1 where none); the oldest make room."""
        if keys.ndim != 2 or keys.shape[1] != self.rows.shape[1]:
            raise ValueError(
                f"keys has shape {tuple(keys.shape)}; expected [N, {self.rows.shape[1]}]"
            )
        if labels is not None and labels.shape != keys.shape[:1]:
            raise ValueError(f"labels has shape {tuple(labels.shape)}; expected ({len(keys)},)")
        size, n = len(self.rows), len(keys)
        at = (self.count + torch.arange(n, device=self.rows.device)) % size
        kept = slice(max(0, n - size), n)  # of more than fit, the newest
        self.rows[at[kept]] = keys[kept].to(self.rows)
        self.codes[at[kept]] = -1 if labels is None else labels[kept].to(self.codes)
        self.count += n

    def _order(self) -> Tensor:
        filled, size = min(int(self.count), len(self.rows)), len(self.rows)
        start = int(self.count) % size if filled == size else 0
        return (start + torch.arange(filled, device=self.rows.device)) % size

    def __len__(self) -> int:
        return min(int(self.count), len(self.rows))

    @property
    def keys(self) -> Tensor:
        """What was pushed, oldest first: [len, D]."""
        return self.rows[self._order()]

    @property
    def labels(self) -> Tensor:
        """The labels [len] of :attr:`keys`."""
        return self.codes[self._order()]
