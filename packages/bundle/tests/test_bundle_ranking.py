"""Ranking by parts and the measures, against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nearfar_bundle.baselines import Made
from nearfar_bundle.evaluate import among_kinds, evaluate
from nearfar_bundle.evidence import Evidence, Items
from nearfar_bundle.features import Block, LabelRows, TextRows, company, mean_rows, unit_rows
from nearfar_bundle.measures import CUTS, measures
from nearfar_bundle.ranking import best_items
from nearfar_bundle.split import Asked


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_best_items_by_parts_are_those_of_the_whole(items, part, k, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-2, 3, (3, items)).astype(np.float32)  # many alike
    out = csr_matrix((rng.random((3, items)) < 0.3).astype(np.float32))
    best, value = best_items(lambda own: scores[:, own], items, k, left_out=out, part=part)
    whole, _ = best_items(lambda own: scores[:, own], items, k, left_out=out, part=10**6)
    assert (best == whole).all()
    for row in range(3):
        own = best[row][best[row] >= 0]
        left = np.flatnonzero(out[row].toarray().ravel() == 0)
        assert len(own) == min(k, len(left)) == len(set(own.tolist()))
        assert set(own.tolist()) <= set(left.tolist())
        assert (scores[row, own] == value[row][: len(own)]).all()
        assert sorted(scores[row, left], reverse=True)[: len(own)] == scores[row, own].tolist()


@given(st.integers(0, 2**32 - 1))
def test_measures_are_their_definitions(seed):
    rng = np.random.default_rng(seed)
    items, queries = 80, 5
    best = np.stack([rng.permutation(items)[: max(CUTS)] for _ in range(queries)])
    hidden = np.zeros((queries, items), np.float32)
    for row in range(queries):
        hidden[row, rng.permutation(items)[: rng.integers(1, 9)]] = 1
    warm = rng.random(items) < 0.5
    found = measures(best, csr_matrix(hidden), warm)
    for name, kind in (("", np.ones(items, bool)), ("warm ", warm), ("cold ", ~warm)):
        for k in CUTS:
            recall, ndcg = [], []
            for row in range(queries):
                wanted = set(np.flatnonzero((hidden[row] > 0) & kind).tolist())
                if not wanted:
                    continue
                hits = [rank for rank, item in enumerate(best[row][:k], 1) if item in wanted]
                ideal = sum(1 / np.log2(1 + r) for r in range(1, min(k, len(wanted)) + 1))
                recall.append(len(hits) / len(wanted))
                ndcg.append(sum(1 / np.log2(1 + r) for r in hits) / ideal)
            if recall:
                assert found[f"{name}recall@{k}"] == pytest.approx(np.mean(recall))
                assert found[f"{name}ndcg@{k}"] == pytest.approx(np.mean(ndcg))
            else:
                assert np.isnan(found[f"{name}recall@{k}"])


def test_rows_have_unit_norm_or_none():
    text = TextRows.of(["red shoe", "red boot", "", "shoe rack"])
    rows = text.rows(["red shoe", "unheard of", ""])
    assert np.allclose(np.sqrt(rows.multiply(rows).sum(1)).ravel(), [1, 0, 0], atol=1e-6)
    labels = LabelRows.of([("a", "b"), ("a",), ()])
    both, twice = labels.rows([("b",), ("b", "b")]).toarray()
    assert (both == twice).all()
    assert labels.rows([("c",)]).nnz == 0


def test_evidence_starts_as_the_weighted_sum_of_mean_cosines():
    import torch

    rng = np.random.default_rng(0)
    held = csr_matrix((rng.random((9, 14)) < 0.4).astype(np.float32))
    words = unit_rows(csr_matrix(rng.random((14, 6)).astype(np.float32)))
    blocks = [Block("t", "text", words, tuple("abcdef")), Block("b", "company", company(held), ())]
    evidence = Evidence(blocks, torch.zeros(14), torch.tensor([3.0, 5.0]))
    with torch.no_grad():
        evidence.by_size.zero_()
        evidence.by_degree.zero_()
        evidence.weight.copy_(torch.tensor([2.0, 7.0]))
    shown = held[:3]
    queries = [torch.from_numpy(mean_rows(shown, b.rows).toarray()) for b in blocks]
    found = evidence(queries, Items(blocks, slice(0, 14))).detach().numpy()
    want = np.zeros((3, 14))
    dense = [block.rows.toarray().astype(np.float64) for block in blocks]
    for row in range(3):
        own = shown[row].indices
        for weight, x in zip((6.0, 35.0), dense, strict=True):
            for item in range(14):
                want[row, item] += weight * np.mean([x[j] @ x[item] for j in own])
    assert np.allclose(found, want, atol=1e-4)


def test_among_kinds_is_a_catalogue_of_one_kind():
    rng = np.random.default_rng(0)
    warm = np.arange(60) % 3 > 0
    shown = csr_matrix((rng.random((7, 60)) < 0.1).astype(np.float32))
    hidden = csr_matrix((rng.random((7, 60)) < 0.2).astype(np.float32)).multiply(
        1 - shown.toarray()
    )
    scores = rng.random((7, 60)).astype(np.float32) + 5 * warm
    asked = Asked(np.arange(7), shown, hidden.tocsr())
    found = among_kinds(Made(scores), asked, warm)
    for kind, own in (("warm", warm), ("cold", ~warm)):
        part = Asked(np.arange(7), shown[:, own], hidden.tocsr()[:, own])
        want = evaluate(Made(scores[:, own]), part, np.ones(own.sum(), bool))
        for name in ("recall@20", "ndcg@20"):
            assert found[f"among {kind} {name}"] == pytest.approx(want[f"warm {name}"])
    assert found["among cold recall@20"] > evaluate(Made(scores), asked, warm)["cold recall@20"]
