"""Collaborative vectors: LightGCN (He et al. 2020, arXiv 2002.02126) on users' feedback."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import bmat, csr_matrix, diags
from torch import Tensor, nn

from nearfar.functional import info_nce
from nearfar_bundle.catalogue import Catalogue, Floats, incidence
from nearfar_bundle.evidence import sparse_tensor
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.split import explained_pairs

__all__ = ["LightGCN", "collaborative_vectors"]

BATCH = 2048
TEMPERATURE = 0.2


class LightGCN(nn.Module):
    """Users' and items' vectors: the mean over layers of a table and its neighbourhood means.

    Args:
        taken: [U, I], 1 where a user took an item.
    """

    def __init__(self, taken: csr_matrix, width: int, layers: int) -> None:
        super().__init__()
        self.users, items = taken.shape
        self.table = nn.Parameter(0.1 * torch.randn(self.users + items, width))
        self.layers = layers
        self.graph = sparse_tensor(normalised(taken))

    def forward(self) -> Tensor:
        """[U + I, width]."""
        x = total = self.table
        for _ in range(self.layers):
            x = torch.sparse.mm(self.graph, x)
            total = total + x
        return total / (self.layers + 1)


def normalised(taken: csr_matrix) -> csr_matrix:
    """The graph of users and items, each edge over the root of its ends' degrees."""
    whole = bmat([[None, taken], [taken.T, None]]).tocsr().astype(np.float32)
    degree = np.asarray(whole.sum(1)).ravel()
    scale = np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
    return (diags(scale) @ whole @ diags(scale)).tocsr().astype(np.float32)


def collaborative_vectors(known: Catalogue, settings: BundleSettings, seed: int) -> Floats | None:
    """[I, width], rows of NaN for items nobody took; None where there is nothing to learn from.

    Pairs that a bundle of the same user explains, a training bundle too, are left out: a model that
    learns bundles from vectors which know them finds them better than it will find new ones.
    Trained by the core's InfoNCE between a user and an item that he took.
    """
    pairs = known.feedback[~explained_pairs(known, np.arange(known.bundles.shape[0]))]
    if not settings.cf_width or len(pairs) < 2:
        return None
    users = np.unique(pairs[:, 0], return_inverse=True)[1]
    pairs = np.stack([users, pairs[:, 1]], 1)
    taken = incidence(pairs, int(users.max()) + 1, len(known))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LightGCN(taken, settings.cf_width, settings.cf_layers)
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.cf_rate)
        for _ in range(settings.cf_epochs):
            for rows in torch.split(torch.randperm(len(pairs)), BATCH):
                own = torch.from_numpy(pairs[rows.numpy()])
                x = model()
                loss = info_nce(x[own[:, 0]], x[model.users + own[:, 1]], temperature=TEMPERATURE)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
    with torch.no_grad():
        found = model()[model.users :].numpy()
    found[np.asarray(taken.sum(0)).ravel() == 0] = np.nan
    return np.asarray(found, np.float32)
