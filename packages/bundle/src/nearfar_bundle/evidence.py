"""What speaks for an item beside a partial bundle: weighted cosines, modality by modality.

``s_k u_k n_i^a_k <mean of the shown items' rows, w . x_i>``, summed over modalities k, plus what
tells of an item alone; units u_k make modalities alike at the start, which is a blend of cosines of
TF-IDF, of co-occurrence in bundles and of
item-kNN on feedback; learnt are the weight of each modality and of each word and label, how much a
holder counts by its size (g_k), and how much items of many holders are held back (a_k). Nearly all
of it is a number a modality or a word, so that a thousand bundles are enough to learn it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from nearfar_bundle.features import Block

__all__ = ["Evidence", "Items", "sparse_tensor"]

FIRST = 2.0  # where learning starts: logits that the mean of a bundle's best cosines is worth


class Evidence(nn.Module):
    """Scores of items by evidence.

    Args:
        blocks: modalities of I items.
        degrees: [I], in how many training bundles each item is.
        units: [K], one over what the best cosines of each modality are; None: ones.
    """

    units: Tensor
    ridge: Tensor
    degrees: Tensor
    held: Tensor

    def __init__(
        self, blocks: Sequence[Block], degrees: Tensor, units: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("units", torch.ones(len(blocks)) if units is None else units)
        self.blocks = list(blocks)
        company = [block.kind == "company" for block in blocks]
        self.weight = nn.Parameter(torch.full((len(blocks),), FIRST))
        # Word weights and the like are learnt for text and labels; a column of company has only
        # its size, and a number of a vector no meaning of its own.
        self.words = nn.ParameterList(
            nn.Parameter(torch.zeros(block.rows.shape[1] if block.columns else 0))
            for block in blocks
        )
        self.by_size = nn.Parameter(torch.tensor([0.5 if own else 0.0 for own in company]))
        self.by_degree = nn.Parameter(torch.tensor([0.2 if own else 0.0 for own in company]))
        self.popularity = nn.Parameter(torch.tensor([0.1, 0.0, 0.0]))
        # Weight and penalty of what `ridge.py` tells, which the last step alone sets.
        self.register_buffer("ridge", torch.tensor([0.0, 1.0]))
        self.company = company
        for number, block in enumerate(blocks):
            size = np.bincount(block.rows.indices, minlength=block.rows.shape[1]).clip(1)
            # About one, so that the exponent leaves the modality's weight alone.
            relative = torch.from_numpy(size / np.exp(np.log(size).mean())).float()
            self.register_buffer(f"size_{number}", relative if block.kind == "company" else None)
        self._take(degrees)

    def _take(self, degrees: Tensor) -> None:
        held = torch.stack([torch.from_numpy(np.diff(b.rows.indptr)).float() for b in self.blocks])
        self.register_buffer("degrees", degrees.float(), persistent=False)
        self.register_buffer("held", held, persistent=False)

    def with_items(self, blocks: Sequence[Block], degrees: Tensor) -> Evidence:
        """The same weights over other items, whose blocks have the same columns."""
        self.blocks = list(blocks)
        self._take(degrees)
        return self

    def column_weights(self, k: int) -> Tensor:
        """[F_k], what each column of a modality counts."""
        if self.company[k]:
            size: Tensor = getattr(self, f"size_{k}")
            return size.pow(-self.by_size[k])
        return self.words[k].exp() if len(self.words[k]) else self.units.new_ones(())

    def alone(self, degrees: Tensor) -> Tensor:
        """What an item that is in so many bundles gets beside any bundle."""
        w = self.popularity
        return w[0] * torch.log1p(degrees) + w[1] * (degrees == 0) + w[2] * (degrees == 1)

    def part(self, k: int, query: Tensor, items: Items) -> Tensor:
        """[Q, n] of modality k: query [Q, F_k], items a :class:`Items`."""
        found = items.product(k, query * self.column_weights(k)) * self.weight[k] * self.units[k]
        if self.company[k]:
            found = found * self.held[k][items.numbers].clamp(min=1).pow(self.by_degree[k])
        return found

    def forward(self, queries: Sequence[Tensor], items: Items) -> Tensor:
        """[Q, n]: a query [Q, F_k] a modality."""
        total = self.alone(self.degrees[items.numbers]).expand(len(queries[0]), -1)
        for k, query in enumerate(queries):
            total = total + self.part(k, query, items)
        return total

    def decay(self) -> Tensor:
        """How far words are from counting alike: [], the sum of their squared log-weights."""
        return sum((words.square().sum() for words in self.words), self.units.new_zeros(()))


class Items:
    """Some items' rows of all modalities, ready to be multiplied."""

    def __init__(
        self, blocks: Sequence[Block], numbers: Tensor | slice, device: torch.device | None = None
    ) -> None:
        self.numbers = numbers
        at = numbers if isinstance(numbers, slice) else numbers.cpu().numpy()
        device = device if isinstance(numbers, slice) else numbers.device
        rows = [block.rows[at] for block in blocks]
        self.rows = [sparse_tensor(own).to(device) for own in rows]
        self.turned = [sparse_tensor(own.T.tocsr()).to(device) for own in rows]

    def product(self, k: int, query: Tensor) -> Tensor:
        """[Q, F_k] -> [Q, n]."""
        found: Tensor = _Product.apply(self.rows[k], self.turned[k], query.T)  # type: ignore[no-untyped-call]
        return found.T


class _Product(torch.autograd.Function):
    """A sparse matrix times a dense one, with a gradient to the dense one alone."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, turned: Tensor, dense: Tensor) -> Tensor:
        ctx.turned = turned
        product: Tensor = torch.sparse.mm(rows, dense)
        return product

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, None, Tensor]:
        return None, None, torch.sparse.mm(ctx.turned, upstream.contiguous())


def sparse_tensor(rows: csr_matrix) -> Tensor:
    """The same matrix in torch."""
    starts = torch.from_numpy(rows.indptr.astype(np.int64))
    columns = torch.from_numpy(rows.indices.astype(np.int64))
    values = torch.from_numpy(rows.data)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            starts, columns, values, size=rows.shape, check_invariants=False
        )
