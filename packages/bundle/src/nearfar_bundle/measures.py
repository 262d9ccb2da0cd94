"""Recall and NDCG of what is to be found, warm and cold items apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nearfar_bundle.catalogue import Ints

__all__ = ["CUTS", "measures"]

CUTS = (5, 10, 20, 50)


def measures(best: Ints, hidden: csr_matrix, warm: NDArray[np.bool_]) -> dict[str, float]:
    """Means over queries.

    Recall@k is the share of the hidden items among the first k; NDCG@k their gains 1 / log2(1 +
    rank) over those of the best list possible, of min(k, hidden) items. Warm and cold measures
    count hidden items of that kind alone, over queries that have some; lists are the same.

    Args:
        best: [Q, K] items, the best first, K the largest cut; -1 for none.
        hidden: [Q, I]. warm: [I], whether a training bundle holds the item.

    Returns:
        ``recall@k``, ``ndcg@k``, and both with ``warm`` or ``cold`` before; NaN over no query.
    """
    found = {}
    rows = np.arange(len(best))[:, None]
    for name, kind in (("", np.ones(len(warm), bool)), ("warm ", warm), ("cold ", ~warm)):
        wanted = hidden.multiply(kind[None, :].astype(np.float32)).tocsr()
        size = np.asarray((wanted > 0).sum(1)).ravel()
        at = wanted[np.broadcast_to(rows, best.shape).ravel(), np.maximum(best, 0).ravel()]
        hit = ((np.asarray(at).reshape(best.shape) > 0) & (best >= 0))[size > 0]
        gain = 1 / np.log2(2 + np.arange(best.shape[1]))
        ideal = np.concatenate([[0.0], gain.cumsum()])
        own = size[size > 0]
        for k in CUTS:
            first = hit[:, :k]
            recall = first.sum(1) / own
            ndcg = (first * gain[:k]).sum(1) / ideal[np.minimum(own, k)]
            found[f"{name}recall@{k}"] = float(recall.mean()) if len(own) else np.nan
            found[f"{name}ndcg@{k}"] = float(ndcg.mean()) if len(own) else np.nan
    return found
