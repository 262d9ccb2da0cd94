"""Integrable sets: which rows are one thing, from which pairs are.

Connected components first, by union-find over the edges alone; then an algorithm within each, for
one wrong pair joins two things. A component of two needs none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import igraph
import networkx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import KMeans

from nearfar_kit.errors import UserError
from nearfar_tables.gnn import graph_network

__all__ = ["ALGORITHMS", "group"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Algorithm = Callable[[igraph.Graph, int], Labels]
LARGE = 500  # rows of a component, beyond which Leiden parts it first


def group(
    rows: int, pairs: NDArray[np.int64], weights: Floats, algorithm: str = "leiden", seed: int = 0
) -> Labels:
    """The set [N] of each row, numbered by the first row in it.

    Args:
        rows: N. pairs: [P, 2] that match. weights: [P], probabilities.
        algorithm: a name of ``ALGORITHMS``.

    Raises:
        UserError: the algorithm is unknown.
    """
    if algorithm not in ALGORITHMS:
        raise UserError(f"groups {algorithm!r}: expected one of {', '.join(ALGORITHMS)}")
    graph = csr_array((np.ones(len(pairs)), tuple(np.sort(pairs, axis=1).T)), shape=(rows, rows))
    count, component = connected_components(graph, directed=False)
    label = component.astype(np.int64)
    within = ALGORITHMS[algorithm]
    if within is not None:
        size = np.bincount(component, minlength=count)
        edge_of = component[pairs[:, 0]]
        order = np.argsort(edge_of, kind="stable")
        starts = np.searchsorted(edge_of[order], np.arange(count + 1))
        free = count
        # Where every two rows match there is nothing to part.
        whole = np.bincount(component[graph.tocoo().row], minlength=count) * 2 == size * (size - 1)
        for number in np.flatnonzero((size > 2) & ~whole):
            edges = order[starts[number] : starts[number + 1]]
            own, local = np.unique(pairs[edges], return_inverse=True)
            found = within(_graph(len(own), local.reshape(-1, 2), weights[edges]), seed)
            label[own] = free + found
            free += len(own)
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    numbered: Labels = rank[inverse]
    return numbered


def _graph(rows: int, edges: NDArray[np.int64], weights: Floats) -> igraph.Graph:
    graph = igraph.Graph(rows, edges.tolist())
    graph.es["weight"] = np.maximum(weights, 1e-6).tolist()
    return graph.simplify(combine_edges="max")


def _cliques(graph: igraph.Graph, seed: int) -> Labels:
    """Maximal cliques, the largest first (of those the heaviest), each row in one (Bron-Kerbosch).

    A component of more than ``LARGE`` rows is parted by Leiden first: cliques are exponentially
    many.
    """
    if graph.vcount() > LARGE:
        return _each_part(graph, _leiden(graph, seed), seed, _cliques)
    label = np.full(graph.vcount(), -1, dtype=np.int64)
    number = 0
    while (label < 0).any():
        left = np.flatnonzero(label < 0)
        part = graph.induced_subgraph(left.tolist())
        cliques = part.largest_cliques() if part.ecount() else [(v,) for v in range(len(left))]
        best = max(cliques, key=lambda c: (sum(part.induced_subgraph(c).es["weight"]), -min(c)))
        label[left[list(best)]] = number
        number += 1
    return label


def _each_part(graph: igraph.Graph, parts: Labels, seed: int, within: Algorithm) -> Labels:
    label = np.zeros_like(parts)
    free = 0
    for number in np.unique(parts):
        own = np.flatnonzero(parts == number)
        # Leiden may keep a part whole: then its pieces are looked at in turn.
        for piece in np.array_split(own, -(-len(own) // LARGE)):
            found = within(graph.induced_subgraph(piece.tolist()), seed)
            label[piece] = free + found
            free += len(piece)
    return label


def _louvain(graph: igraph.Graph, seed: int) -> Labels:
    parts = networkx.community.louvain_communities(graph.to_networkx(), seed=seed)
    return _from_parts(graph, parts)


def _leiden(graph: igraph.Graph, seed: int) -> Labels:
    igraph.set_random_number_generator(random.Random(seed))
    found = graph.community_leiden("modularity", weights="weight", n_iterations=-1)
    return np.array(found.membership)


def _label_propagation(graph: igraph.Graph, seed: int) -> Labels:
    parts = networkx.community.asyn_lpa_communities(graph.to_networkx(), "weight", seed=seed)
    return _from_parts(graph, parts)


def _infomap(graph: igraph.Graph, seed: int) -> Labels:
    igraph.set_random_number_generator(random.Random(seed))
    return np.array(graph.community_infomap("weight").membership)


def _newman_girvan(graph: igraph.Graph, seed: int) -> Labels:
    """Edges of highest betweenness go first; the partition of highest modularity stays."""
    lengths = (1 / np.array(graph.es["weight"])).tolist()
    return np.array(graph.community_edge_betweenness(weights=lengths).as_clustering().membership)


def _spectral(graph: igraph.Graph, seed: int) -> Labels:
    """As many sets as the largest gap of the normalised Laplacian's eigenvalues says."""
    n = graph.vcount()
    weights = _weights(graph)
    degree = weights.sum(1)
    scaled = weights / np.sqrt(np.outer(degree, degree))
    values, vectors = np.linalg.eigh(np.eye(n) - scaled)
    sets = int(np.argmax(np.diff(values))) + 1
    rows = vectors[:, :sets]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    found = KMeans(sets, n_init=4, random_state=seed).fit_predict(rows)
    label: Labels = found.astype(np.int64)
    return label


def _gnn(graph: igraph.Graph, seed: int) -> Labels:
    if graph.vcount() > LARGE:
        return _each_part(graph, _leiden(graph, seed), seed, _gnn)
    label = graph_network(_weights(graph), seed)
    # Where the graph has no parts, even shares are best, and the largest of them is chance.
    parts = graph.modularity(label.tolist(), weights="weight") > 0
    return label if parts else np.zeros_like(label)


def _weights(graph: igraph.Graph) -> Floats:
    return np.array(graph.get_adjacency_sparse("weight").todense(), dtype=float)


def _from_parts(graph: igraph.Graph, parts: Iterable[set[int]]) -> Labels:
    label = np.zeros(graph.vcount(), dtype=np.int64)
    for number, part in enumerate(parts):
        label[list(part)] = number
    return label


ALGORITHMS: dict[str, Algorithm | None] = {
    "components": None,
    "cliques": _cliques,
    "louvain": _louvain,
    "leiden": _leiden,
    "label propagation": _label_propagation,
    "infomap": _infomap,
    "newman-girvan": _newman_girvan,
    "spectral": _spectral,
    "gnn": _gnn,
}
