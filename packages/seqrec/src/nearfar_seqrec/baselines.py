"""Baselines without training: what is popular, and what goes with the items of the history."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from nearfar_seqrec.scoring import Scored
from nearfar_seqrec.sequences import Ints
from nearfar_seqrec.split import Split

__all__ = ["ItemKNN", "Popular", "item_similarity", "most_similar"]


class Popular:
    """Every history gets the items most often trained on."""

    def __init__(self, split: Split) -> None:
        self.counts = torch.from_numpy(split.train_counts())
        self.items = len(self.counts) - 1

    def __call__(self, histories: Tensor) -> Scored:
        return Scored(
            lambda items: self.counts[items].expand(len(histories), -1),
            lambda target: self.counts[target],
        )


class ItemKNN:
    """The sum of similarities to the history's items.

    Deshpande, Karypis 2004: cosine of the items' users, the ``neighbours`` most similar of each.
    """

    def __init__(self, split: Split, neighbours: int = 100) -> None:
        self.similarity = _keep_largest(item_similarity(split), neighbours)
        self.items = self.similarity.shape[0] - 1

    def __call__(self, histories: Tensor) -> Scored:
        rows, columns = (histories > 0).nonzero(as_tuple=True)
        there = sp.csr_matrix(
            (np.ones(len(rows)), (rows.numpy(), histories[rows, columns].numpy())),
            shape=(len(histories), self.items + 1),
        )
        there.data[:] = 1  # an item taken twice counts once
        scores = torch.from_numpy((there @ self.similarity).toarray())  # B x items + 1
        return Scored(
            lambda items: scores[:, items], lambda target: scores.gather(1, target[:, None])[:, 0]
        )


def item_similarity(split: Split) -> sp.csr_matrix:
    """Cosines of the items' users in training, none with itself: [I + 1, I + 1], sparse."""
    sequences = split.sequences
    user = sequences.user_of
    kept = split.places < split.train_end[user]
    took = sp.csr_matrix(
        (np.ones(kept.sum()), (user[kept], sequences.flat[kept])),
        shape=(len(sequences), len(sequences.items) + 1),
    )
    took.data[:] = 1
    both = (took.T @ took).tocoo()
    norm = np.sqrt(np.asarray(took.sum(0)).ravel())
    apart = both.row != both.col
    row, column = both.row[apart], both.col[apart]
    cosine = both.data[apart] / (norm[row] * norm[column])
    return sp.csr_matrix((cosine, (row, column)), shape=both.shape)


def most_similar(split: Split) -> Ints:
    """The item most similar to each, itself where there is none: [I + 1], 0 for padding."""
    similarity = item_similarity(split)
    best = np.asarray(similarity.argmax(1)).ravel()
    none = np.diff(similarity.indptr) == 0
    return np.where(none, np.arange(len(best)), best)


def _keep_largest(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """The k largest entries of each row; of equal ones the lower column."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort([matrix.indices, -matrix.data, row])
    place = np.arange(len(row)) - matrix.indptr[row[order]]
    kept = order[place < k]
    return sp.csr_matrix((matrix.data[kept], (row[kept], matrix.indices[kept])), matrix.shape)
