"""Who holds an item, freed of what all holders share: a linear autoencoder in its dual form.

Two bundles that hold the same items tell the same twice. Ridge regression of items on items (Steck
2019, EASE, arXiv 1905.03375, without its zero diagonal: what is shown is not asked for) weighs them
down: ``q X (X^T X + penalty)^-1 X^T`` for items X [I, H] of H holders, solved for each query q by
conjugate gradients, so that nothing of the size H^2 or I^2 is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags, hstack
from torch import Tensor

from nearfar_bundle.catalogue import Ints
from nearfar_bundle.evidence import sparse_tensor
from nearfar_bundle.features import Block, mean_rows

__all__ = ["holders_of", "ridge_scores", "solved"]

POWER = -0.25  # between counts (0) and cosines (-0.5) of an item's holders
STEPS = 15


def holders_of(blocks: Sequence[Block]) -> csr_matrix:
    """[I, H], the holders of all modalities of company side by side."""
    held = hstack([block.rows for block in blocks if block.kind == "company"]).tocsr()
    held.data = np.ones_like(held.data)
    size = np.maximum(np.diff(held.indptr), 1).astype(np.float32)
    return (diags(size**POWER) @ held).tocsr().astype(np.float32)


def solved(rows: Tensor, turned: Tensor, queries: Tensor, penalty: float) -> Tensor:
    """``queries (rows^T rows + penalty)^-1``, to within what ranks alike.

    Args:
        rows: [I, H], sparse; turned: the same, [H, I]. queries: [Q, H].

    Returns:
        [Q, H].
    """
    rest = queries.T.contiguous()
    found, way = torch.zeros_like(rest), rest
    size = rest.square().sum(0)
    for _ in range(STEPS):
        ahead = torch.sparse.mm(turned, torch.sparse.mm(rows, way)) + penalty * way
        step = size / (way * ahead).sum(0).clamp(min=1e-30)
        found = found + step * way
        rest = rest - step * ahead
        before, size = size, rest.square().sum(0)
        way = rest + size / before.clamp(min=1e-30) * way
    return found.T


def ridge_scores(
    blocks: Sequence[Block], shown: csr_matrix, penalty: float
) -> Callable[[slice | Ints], Tensor]:
    """How well items [I] go with partial bundles [Q, I], by what company tells of both."""
    held = holders_of(blocks)
    queries = torch.from_numpy(mean_rows(shown, held).toarray())
    answer = solved(sparse_tensor(held), sparse_tensor(held.T.tocsr()), queries, penalty).T
    return lambda own: torch.sparse.mm(sparse_tensor(held[own]), answer).T
