"""Training bundles, parted by chance into what is shown and what is to be found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from nearfar_bundle.features import Block, mean_rows

__all__ = ["Batch", "padded", "queries_of", "shown_part"]


@dataclass(frozen=True)
class Batch:
    """B bundles and the items that compete in them.

    Attributes:
        whole, shown, hidden: [B, I].
        kin: [B, I], how many of the bundle's kin, itself among them, hold each item.
        queries: of each modality [B, F], the mean of the shown items, blind to the bundle's kin.
        candidates: [C] item numbers, ascending; all hidden and shown items are among them.
        share: [C], how many items each candidate stands for.
    """

    whole: csr_matrix
    shown: csr_matrix
    hidden: csr_matrix
    kin: csr_matrix
    queries: list[Tensor]
    candidates: Tensor
    share: Tensor

    def __len__(self) -> int:
        return int(self.whole.shape[0])

    def rows(self, own: slice) -> Batch:
        """Some of the bundles, among the same candidates."""
        return replace(
            self, whole=self.whole[own], shown=self.shown[own], hidden=self.hidden[own],
            kin=self.kin[own], queries=[query[own] for query in self.queries],
        )  # fmt: skip


def shown_part(
    bundles: csr_matrix, rng: np.random.Generator, *, longest: int, target_full: bool
) -> tuple[csr_matrix, csr_matrix]:
    """From one to all but one items of each bundle are shown, the others hidden: both [B, I].

    Args:
        longest: items of a bundle that are taken at most, drawn by chance.
        target_full: all are shown and all to be found, as in the paper.
    """
    shown, hidden = np.zeros(bundles.nnz, bool), np.zeros(bundles.nnz, bool)
    for start, stop in zip(bundles.indptr[:-1], bundles.indptr[1:], strict=True):
        own = start + rng.permutation(stop - start)[:longest]
        n = len(own) if target_full else int(rng.integers(1, max(2, len(own))))
        shown[own[:n]] = True
        hidden[own if target_full else own[n:]] = True
    return _kept(bundles, shown), _kept(bundles, hidden)


def _kept(bundles: csr_matrix, keep: np.ndarray) -> csr_matrix:
    found = bundles.copy()
    found.data = found.data * keep
    found.eliminate_zeros()
    return found


def queries_of(
    shown: csr_matrix, blocks: Sequence[Block], blind: dict[str, csr_matrix] | None = None
) -> list[Tensor]:
    """Of each modality [B, F], the mean of the shown items' rows.

    Args:
        blind: by modality of company, [B, F], holders that the bundle itself explains, such as its
            kin: what they tell of it is no evidence.
    """
    found = []
    for block in blocks:
        query = mean_rows(shown, block.rows).toarray()
        if blind and block.name in blind:
            own = blind[block.name].tocoo()
            query[own.row, own.col] = 0.0
        found.append(torch.from_numpy(query))
    return found


def padded(held: csr_matrix, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """[B, I] -> item numbers [B, L], 0 where there is none, and which are there [B, L]."""
    size = np.diff(held.indptr)
    place = np.arange(max(1, int(size.max(initial=0))))
    there = place < size[:, None]
    items = np.zeros(there.shape, np.int64)
    items[there] = held.indices
    return torch.from_numpy(items).to(device), torch.from_numpy(there).to(device)
