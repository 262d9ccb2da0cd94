"""Binning without labels: the modified K-medoid, and other ways to the same kind of answer."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors

from nearfar_dna.composition import Floats, unit_rows

__all__ = ["UNBINNED", "dbscan_bins", "leiden_bins", "neighbour_threshold", "species_bins"]

UNBINNED = -1
BLOCK = 2048  # rows of similarities at once
SAMPLE = 2000  # sequences that a threshold is looked for on
ROUNDS = 3  # a medoid moves so often


def neighbour_threshold(
    rows: Floats, neighbours: int = 20, quantile: float = 0.3, seed: int = 0
) -> float:
    """A similarity that most sequences have to their nearest: no labels are needed.

    Args:
        rows: [N, D], unit. neighbours: among which the farthest counts.
        quantile: of sequences that lie below.
    """
    n = len(rows)
    if n < 2:
        return 1.0
    chosen = np.random.default_rng(seed).permutation(n)[:SAMPLE]
    count = min(neighbours, n - 1)
    farthest = []
    for start in range(0, len(chosen), BLOCK):
        # One more than asked: a sequence is its own nearest.
        near = rows[chosen[start : start + BLOCK]] @ rows.T
        farthest.append(np.partition(near, -count - 1, axis=1)[:, -count - 1])
    return float(np.quantile(np.concatenate(farthest), quantile))


def species_bins(
    rows: Floats, threshold: float, *, least: int = 10, unit_medoids: bool = True
) -> NDArray[np.int64]:
    """Bins [N] by the paper's modified K-medoid; -1 where there is none.

    The sequence with the largest sum of similarities above ``threshold`` begins a bin; its centre,
    made a unit row again, moves to the mean of what is near enough three times; what is near it is
    taken out and no longer counts. Memory is that of a block of similarities, never N x N: the sums
    are made once, and what a bin takes out is subtracted.

    Args:
        rows: [N, D], unit. least: sequences of a bin; smaller ones are unbinned.
        unit_medoids: False: a centre is the mean itself, as in the authors' code; its similarities
            are the smaller, the more its bin is spread.
    """
    n = len(rows)
    density = np.zeros(n)
    for start in range(0, n, BLOCK):
        density[start : start + BLOCK] = _above(rows[start : start + BLOCK] @ rows.T, threshold)
    bins = np.full(n, UNBINNED, np.int64)
    free = np.ones(n, bool)
    number = 0
    while free.any():
        first = int(np.where(free, density, -np.inf).argmax())
        medoid = rows[first]
        within = np.array([first])
        for _ in range(ROUNDS):
            near = np.flatnonzero(free & (rows @ medoid >= threshold))
            if not len(near):
                break
            within = near
            medoid = rows[within].mean(0)
            if unit_medoids:
                medoid = unit_rows(medoid[None])[0]
        # The first is taken out too: or else it would begin the next bin again.
        taken = np.union1d(within, [first])
        bins[within] = number
        free[taken] = False
        left = np.flatnonzero(free)
        for start in range(0, len(left), BLOCK):
            some = left[start : start + BLOCK]
            density[some] -= _above(rows[some] @ rows[taken].T, threshold)
        number += 1
    return _without_small(bins, least)


def dbscan_bins(rows: Floats, threshold: float, *, least: int = 10) -> NDArray[np.int64]:
    """Bins by density, as SemiBin2 makes of long reads' contigs."""
    radius = float(np.sqrt(max(0.0, 2 - 2 * threshold)))
    found = DBSCAN(eps=max(radius, 1e-6), min_samples=5).fit_predict(rows)
    return _without_small(found.astype(np.int64), least)


def leiden_bins(
    rows: Floats, threshold: float, *, least: int = 10, neighbours: int = 20, seed: int = 0
) -> NDArray[np.int64]:
    """Bins by the communities of the graph of nearest neighbours, as COMEBin's."""
    import igraph

    count = min(neighbours + 1, len(rows))
    distance, index = NearestNeighbors(n_neighbors=count).fit(rows).kneighbors(rows)
    similarity = 1 - distance**2 / 2
    left = np.repeat(np.arange(len(rows)), count)
    keep = (left < index.ravel()) & (similarity.ravel() >= threshold)
    graph = igraph.Graph(len(rows), list(zip(left[keep], index.ravel()[keep], strict=True)))
    igraph.set_random_number_generator(random.Random(seed))
    found = graph.community_leiden(
        objective_function="modularity", weights=similarity.ravel()[keep].tolist(), n_iterations=5
    )
    return _without_small(np.array(found.membership, np.int64), least)


def _above(similarity: Floats, threshold: float) -> NDArray[np.float64]:
    """Sums of what is not below the threshold, a row each."""
    sums: NDArray[np.float64] = np.where(similarity >= threshold, similarity, 0).sum(
        1, dtype=np.float64
    )
    return sums


def _without_small(bins: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Bins numbered by size from 0, the smaller ones than ``least`` unbinned."""
    numbers, counts = np.unique(bins[bins != UNBINNED], return_counts=True)
    order = numbers[np.argsort(-counts, kind="stable")]
    kept = [number for number in order if counts[numbers == number][0] >= least]
    out = np.full(len(bins), UNBINNED, np.int64)
    for new, number in enumerate(kept):
        out[bins == number] = new
    return out
