"""How well sets of rows agree with the true ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_rand_score

__all__ = ["adjusted_rand_score", "b_cubed", "pairwise_scores", "set_similarity"]

Labels = NDArray[np.int64]


def pairwise_scores(truth: Labels, found: Labels) -> tuple[float, float, float]:
    """Precision, recall and F1 over pairs of rows that share a set; no pair is enumerated."""
    overlap, true, own = _overlap(truth, found)
    both, of_truth, of_found = (float((n * (n - 1) / 2).sum()) for n in (overlap.data, true, own))
    precision = both / of_found if of_found else 1.0
    recall = both / of_truth if of_truth else 1.0
    return precision, recall, _f1(precision, recall)


def b_cubed(truth: Labels, found: Labels) -> tuple[float, float, float]:
    """Precision, recall and F1 of each row's own set, the mean over rows (Bagga, Baldwin 1998)."""
    overlap, true, own = _overlap(truth, found)
    square = overlap.data**2
    rows = overlap.data.sum()
    precision = float((square / own[overlap.col]).sum() / rows)
    recall = float((square / true[overlap.row]).sum() / rows)
    return precision, recall, _f1(precision, recall)


def set_similarity(truth: Labels, found: Labels) -> float:
    """Sum of Jaccard over a one-to-one assignment of true to found sets that makes it largest,
    over the larger number of sets (Ji et al. 2024, arXiv 2412.00324).

    The assignment is done in each connected part of the overlap, so that no table of all sets
    against all is made.
    """
    overlap, true, own = _overlap(truth, found)
    union = true[overlap.row] + own[overlap.col] - overlap.data
    jaccard = overlap.data / union
    sets = len(true) + len(own)
    graph = coo_array((jaccard, (overlap.row, overlap.col + len(true))), shape=(sets, sets))
    _, part = connected_components(graph, directed=False)
    order = np.argsort(part[overlap.row], kind="stable")
    total = 0.0
    for edges in np.split(order, np.flatnonzero(np.diff(part[overlap.row][order])) + 1):
        i, row = np.unique(overlap.row[edges], return_inverse=True)
        j, col = np.unique(overlap.col[edges], return_inverse=True)
        dense = np.zeros((len(i), len(j)))
        dense[row, col] = jaccard[edges]
        total += dense[linear_sum_assignment(-dense)].sum()
    return float(total / max(len(true), len(own)))


def _overlap(truth: Labels, found: Labels) -> tuple[coo_array, NDArray[np.int64], Labels]:
    """Rows in common of true and found sets, and the sizes of both."""
    if len(truth) != len(found) or not len(truth):
        raise ValueError(f"{len(truth)} true and {len(found)} found labels; expected as many, some")
    _, i, true = np.unique(truth, return_inverse=True, return_counts=True)
    _, j, own = np.unique(found, return_inverse=True, return_counts=True)
    counts = coo_array((np.ones(len(i)), (i, j)), shape=(len(true), len(own)))
    return coo_array(counts.tocsr()), true, own


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
