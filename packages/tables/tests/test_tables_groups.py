"""Integrable sets: planted ones are found, sets are numbered the same, measures by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar_kit.errors import UserError
from nearfar_tables.gnn import modularity_loss
from nearfar_tables.grouping import ALGORITHMS, group
from nearfar_tables.measures import adjusted_rand_score, b_cubed, pairwise_scores, set_similarity

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=14)


@pytest.fixture(scope="module")
def planted():
    """Three cliques of five, joined into one component by two weak pairs; a pair; a lone row."""
    pairs, weights = [], []
    for start in (0, 5, 10):
        for pair in combinations(range(start, start + 5), 2):
            pairs.append(pair)
            weights.append(0.95)
    pairs += [(4, 5), (9, 10), (15, 16)]
    weights += [0.55, 0.55, 0.9]
    return np.array(pairs), np.array(weights), np.array([*np.repeat([0, 1, 2], 5), 3, 3, 4])


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "components"])
def test_planted_sets_are_found(planted, algorithm):
    pairs, weights, truth = planted
    for seed in (0, 1):
        np.testing.assert_array_equal(group(18, pairs, weights, algorithm, seed), truth)


def test_components_join_what_is_joined(planted):
    pairs, weights, _ = planted
    assert group(18, pairs, weights, "components").tolist() == [0] * 15 + [1, 1, 2]


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "gnn"])
@settings(max_examples=20)
@given(data=st.data())
def test_any_graph(algorithm, data):
    rows = data.draw(st.integers(1, 9))
    edge = st.tuples(st.integers(0, rows - 1), st.integers(0, rows - 1)).filter(
        lambda e: e[0] < e[1]
    )
    edges = data.draw(st.lists(edge, max_size=12)) if rows > 1 else []
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    weights = np.linspace(0.5, 1, len(pairs))
    label = group(rows, pairs, weights, algorithm)
    first = [label.tolist().index(number) for number in range(label.max() + 1)]
    assert first == sorted(first)
    component = group(rows, pairs, weights, "components")
    assert len({(a, b) for a, b in zip(label, component, strict=True)}) == label.max() + 1
    np.testing.assert_array_equal(label, group(rows, pairs, weights, algorithm))
    if algorithm == "cliques":
        joined = {tuple(pair) for pair in pairs.tolist()}
        for i, j in combinations(range(rows), 2):
            assert label[i] != label[j] or (i, j) in joined


def test_a_graph_without_parts_stays_whole():
    pairs = np.array([(0, 1), (1, 2), (2, 3), (0, 3), (0, 2)])
    assert group(5, pairs, np.ones(5), "gnn").tolist() == [0, 0, 0, 0, 1]


@settings(max_examples=10)
@given(st.lists(st.integers(0, 2), min_size=4, max_size=9), st.integers(0, 99))
def test_the_networks_loss_is_minus_modularity(label, seed):
    import networkx

    n = len(label)
    weights = np.random.default_rng(seed).random((n, n)) + 0.1
    weights = np.triu(weights, 1) + np.triu(weights, 1).T
    shares = torch.eye(3, dtype=torch.float64)[torch.tensor(label)]
    found = modularity_loss(shares, torch.from_numpy(weights), collapse=0.0)
    parts = [set(np.flatnonzero(np.array(label) == k).tolist()) for k in set(label)]
    wanted = networkx.community.modularity(networkx.from_numpy_array(weights), parts)
    assert found.item() == pytest.approx(-wanted)
    crowded = torch.eye(3, dtype=torch.float64)[torch.zeros(n, dtype=torch.int64)]
    one = modularity_loss(crowded, torch.from_numpy(weights), collapse=1.0)
    assert one.item() == pytest.approx(3**0.5 - 1)  # all in one set: as much as there can be


def test_where_all_match_nothing_is_parted():
    pairs = np.array([*combinations(range(4), 2), (1, 0)])  # one of them twice
    weights = np.array([1e-6] * 3 + [1.0] * 4)
    for algorithm in ALGORITHMS:
        assert group(4, pairs, weights, algorithm).tolist() == [0] * 4


def test_an_unknown_algorithm():
    with pytest.raises(UserError, match="expected one of components, cliques"):
        group(2, np.array([(0, 1)]), np.ones(1), "k-means")


class TestMeasures:
    TRUTH, FOUND = np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 7, 7, 7, 9])

    def test_by_hand(self):
        # Pairs: true 01 02 12 34; found 01 23 24 34; both 01 34.
        assert pairwise_scores(self.TRUTH, self.FOUND) == (0.5, 0.5, 0.5)
        # Jaccard {0,1,2}~{0,1}: 2/3, {3,4}~{2,3,4}: 2/3, {5}~{5}: 1.
        assert set_similarity(self.TRUTH, self.FOUND) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
        # Precision of rows: 1, 1, 1/3, 2/3, 2/3, 1; recall: 2/3, 2/3, 1/3, 1, 1, 1.
        precision, recall, _ = b_cubed(self.TRUTH, self.FOUND)
        assert (precision, recall) == pytest.approx(((4 + 2 / 3) / 6, (4 + 2 / 3) / 6))

    @given(LABELS)
    def test_pairs_against_loops(self, rows):
        truth, found = (np.array(x) for x in zip(*rows, strict=True))
        true = {p for p in combinations(range(len(rows)), 2) if truth[p[0]] == truth[p[1]]}
        own = {p for p in combinations(range(len(rows)), 2) if found[p[0]] == found[p[1]]}
        precision, recall, _ = pairwise_scores(truth, found)
        assert precision == pytest.approx(len(true & own) / len(own) if own else 1)
        assert recall == pytest.approx(len(true & own) / len(true) if true else 1)

    @given(LABELS)
    def test_set_similarity_against_one_dense_assignment(self, rows):
        from scipy.optimize import linear_sum_assignment

        truth, found = (np.array(x) for x in zip(*rows, strict=True))
        sets = [[set(np.flatnonzero(x == n)) for n in np.unique(x)] for x in (truth, found)]
        jaccard = np.array([[len(a & b) / len(a | b) for b in sets[1]] for a in sets[0]])
        best = jaccard[linear_sum_assignment(-jaccard)].sum() / max(jaccard.shape)
        assert set_similarity(truth, found) == pytest.approx(best)

    @given(LABELS)
    def test_all_are_1_for_the_truth_itself(self, rows):
        truth = np.array([a for a, _ in rows])
        moved = 7 - truth
        for scores in (pairwise_scores(truth, moved), b_cubed(truth, moved)):
            assert scores == pytest.approx((1, 1, 1))
        assert set_similarity(truth, moved) == pytest.approx(1)
        assert adjusted_rand_score(truth, moved) == 1

    def test_lengths_differ(self):
        with pytest.raises(ValueError, match="expected as many"):
            b_cubed(np.zeros(2, dtype=int), np.zeros(3, dtype=int))
