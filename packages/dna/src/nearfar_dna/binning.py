"""Binning without labels: the modified K-medoid, and other ways to the same kind of answer."""

from __future__ import annotations

import random

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors
from torch.nn.functional import threshold as zero_below

from nearfar_dna.composition import Floats, unit_rows
from nearfar_kit.errors import UserError

__all__ = ["UNBINNED", "dbscan_bins", "leiden_bins", "neighbour_threshold", "species_bins"]

UNBINNED = -1
BLOCK = 1024  # rows and columns of similarities at once: they stay in the processor's cache
SCORES = 2**24  # similarities at once, where whole rows of them are needed
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
    step = max(1, SCORES // n)
    for start in range(0, len(chosen), step):
        # One more than asked: a sequence is its own nearest.
        near = rows[chosen[start : start + step]] @ rows.T
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
    bins = np.full(len(rows), UNBINNED, np.int64)
    density = _densities(rows, threshold)
    live, names = rows, np.arange(len(rows))  # what is left, side by side, and some that is taken
    free = np.ones(len(rows), bool)
    number = 0
    while free.any():
        first = int(density.argmax())
        if threshold > 0 and density[first] < 1 + threshold / 2:
            # It is near itself alone, and so are all that are left: each is its own bin.
            bins[names[free]] = number + np.arange(int(free.sum()))
            break
        medoid = live[first]
        within = np.array([first])
        for _ in range(ROUNDS):
            near = np.flatnonzero(free & (live @ medoid >= threshold))
            if not len(near):
                break
            within = near
            medoid = live[within].mean(0)
            if unit_medoids:
                medoid = unit_rows(medoid[None])[0]
        # The first is taken out too: or else it would begin the next bin again.
        taken = np.union1d(within, [first])
        bins[names[within]] = number
        number += 1
        free[taken] = False
        density[taken] = -np.inf
        density -= _sums(live, live[taken], threshold)
        if 4 * free.sum() < 3 * len(free):
            live, names, density = live[free], names[free], density[free]
            free = np.ones(len(live), bool)
    return _without_small(bins, least)


def dbscan_bins(rows: Floats, threshold: float, *, least: int = 10) -> NDArray[np.int64]:
    """Bins by density, as SemiBin2 makes of long reads' contigs."""
    radius = float(np.sqrt(max(0.0, 2 - 2 * threshold)))
    found = DBSCAN(eps=max(radius, 1e-6), min_samples=5).fit_predict(rows)
    return _without_small(found.astype(np.int64), least)


def leiden_bins(
    rows: Floats, threshold: float, *, least: int = 10, neighbours: int = 20, seed: int = 0
) -> NDArray[np.int64]:
    """Bins by the communities of the graph of nearest neighbours, as COMEBin's.

    Raises:
        UserError: igraph is not there.
    """
    try:
        import igraph
    except ImportError:
        raise UserError("method leiden: pip install 'nearfar-dna[leiden]'") from None

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


def _densities(rows: Floats, threshold: float) -> NDArray[np.float64]:
    """[N] sums of each row's similarities above the threshold; a tile serves both its sides."""
    sums = np.zeros(len(rows))
    for i in range(0, len(rows), BLOCK):
        for j in range(i, len(rows), BLOCK):
            tile = _above(rows[i : i + BLOCK], rows[j : j + BLOCK], threshold)
            sums[i : i + BLOCK] += tile.sum(1).numpy()
            if j > i:
                sums[j : j + BLOCK] += tile.sum(0).numpy()
    return sums


def _sums(rows: Floats, others: Floats, threshold: float) -> NDArray[np.float64]:
    """[N] sums of each row's similarities with the others above the threshold."""
    sums = np.zeros(len(rows))
    for i in range(0, len(rows), BLOCK):
        for j in range(0, len(others), BLOCK):
            tile = _above(rows[i : i + BLOCK], others[j : j + BLOCK], threshold)
            sums[i : i + BLOCK] += tile.sum(1).numpy()
    return sums


def _above(rows: Floats, others: Floats, threshold: float) -> torch.Tensor:
    """[N, M] similarities, 0 where they are below the threshold.

    By torch: numpy takes ten times as long to set some of an array to 0.
    """
    just_below = float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))
    return zero_below(torch.from_numpy(rows @ others.T), just_below, 0.0, inplace=True)


def _without_small(bins: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Bins numbered by size from 0, the smaller ones than ``least`` unbinned."""
    binned = bins != UNBINNED
    counts = np.bincount(bins[binned], minlength=1)
    order = np.argsort(-counts, kind="stable")
    new = np.full(len(counts), UNBINNED)
    new[order] = np.arange(len(counts))
    new[counts < max(1, least)] = UNBINNED
    out = np.full(len(bins), UNBINNED, np.int64)
    out[binned] = new[bins[binned]]
    return out
