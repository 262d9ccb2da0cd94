"""Sets by a graph network that is trained on the graph itself, without labels.

DMoN (Tsitsulin, Palowitch, Perozzi, Müller 2020, arXiv 2006.16904): a two-layer GCN gives each row
shares in k sets, and is trained to raise the modularity of those shares,
``tr(C' B C) / 2m - w (sqrt(k) / n |sum C| - 1)``; the second term keeps all rows from falling into
one set. The released code of the paper that this package follows trains its network on another loss
and clusters by a layer that gets no gradient.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["graph_network", "modularity_loss"]

MOST_SETS = 32
HIDDEN = 64
STEPS = 200
COLLAPSE = 0.1  # weight of the second term


class _Network(nn.Module):
    """GCN with a skip connection (Kipf, Welling 2017), on rows known by their number alone."""

    def __init__(self, rows: int, sets: int) -> None:
        super().__init__()
        self.first = nn.Linear(rows, HIDDEN)
        self.skip = nn.Linear(rows, HIDDEN)
        self.second = nn.Linear(HIDDEN, sets)

    def forward(self, spread: Tensor) -> Tensor:
        """Shares [n, k] from the normalised adjacency [n, n]."""
        own = torch.eye(len(spread))
        hidden = torch.selu(spread @ self.first(own) + self.skip(own))
        shares: Tensor = (spread @ self.second(hidden)).softmax(dim=1)
        return shares


def modularity_loss(shares: Tensor, weights: Tensor, collapse: float = COLLAPSE) -> Tensor:
    """Of shares [n, k] in sets, on a graph of weights [n, n]: minus modularity, plus collapse."""
    degree = weights.sum(1)
    total = degree.sum()  # 2 m
    within = (shares * (weights @ shares)).sum()
    expected = (degree @ shares).square().sum() / total
    n, k = shares.shape
    crowd = k**0.5 / n * shares.sum(0).norm() - 1
    loss: Tensor = -(within - expected) / total + collapse * crowd
    return loss


def graph_network(weights: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """The set [n] of each row of a connected graph of weights [n, n]."""
    graph = torch.from_numpy(weights).float()
    degree = graph.sum(1)
    spread = graph / (degree[:, None] * degree[None]).sqrt()
    rows = len(graph)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Network(rows, min(rows, MOST_SETS))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(STEPS):
            loss = modularity_loss(network(spread), graph)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        with torch.no_grad():
            found: NDArray[np.int64] = network(spread).argmax(dim=1).numpy()
    return found
