"""Ridge on company, what validation sets last, and items that came later."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nearfar_bundle.batches import padded
from nearfar_bundle.catalogue import Catalogue, incidence
from nearfar_bundle.company import company_blocks, same_kin
from nearfar_bundle.evaluate import evaluate
from nearfar_bundle.evidence import FIRST, sparse_tensor
from nearfar_bundle.features import Block, company
from nearfar_bundle.finish import PENALTIES, STEEPEST, WEIGHTS, finish
from nearfar_bundle.later import only, with_cold_items_later
from nearfar_bundle.objective import _without_kin, found_by_score, objective
from nearfar_bundle.ridge import POWER, holders_of, ridge_scores, solved
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.simulate import simulate
from nearfar_bundle.split import split_bundles
from nearfar_bundle.train import Training


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.5, 50), st.integers(0, 2**32 - 1))
def test_conjugate_gradients_solve(items, holders, penalty, seed):
    rng = np.random.default_rng(seed)
    x = (rng.random((items, holders)) < 0.5) * rng.random((items, holders))
    queries = rng.random((3, holders)) * (rng.random((3, 1)) < 0.8)  # some of zeros
    want = queries @ np.linalg.inv(x.T @ x + penalty * np.eye(holders))
    rows = csr_matrix(x.astype(np.float32))
    found = solved(
        sparse_tensor(rows), sparse_tensor(rows.T.tocsr()),
        torch.from_numpy(queries.astype(np.float32)), penalty,
    )  # fmt: skip
    assert np.allclose(found.numpy(), want, atol=1e-4)


def test_ridge_scores_are_the_regression_of_items_on_items():
    rng = np.random.default_rng(0)
    held = csr_matrix((rng.random((9, 14)) < 0.4).astype(np.float32))
    users = csr_matrix((rng.random((5, 14)) < 0.4).astype(np.float32))
    blocks = [
        Block("t", "text", csr_matrix((14, 3), dtype=np.float32)),
        Block("b", "company", company(held)),
        Block("f", "company", company(users)),
    ]
    x = np.concatenate([held.toarray(), users.toarray()]).T.astype(np.float64)
    x *= np.maximum(x.sum(1, keepdims=True), 1) ** POWER
    assert np.allclose(holders_of(blocks).toarray(), x)
    shown = held[:3]
    mean = shown.toarray() / shown.toarray().sum(1, keepdims=True)
    want = mean @ x @ np.linalg.inv(x.T @ x + 7 * np.eye(x.shape[1])) @ x.T
    scores = ridge_scores(blocks, shown, 7.0)
    assert np.allclose(scores(slice(0, 14)), want, atol=1e-5)
    assert np.allclose(scores(slice(3, 8)), want[:, 3:8], atol=1e-5)


def together(builder, split):
    """What is found over all, warm and cold items, which count alike."""
    found = evaluate(builder, split.valid, split.degrees > 0)
    return np.nansum(
        [found[f"{k}{m}@20"] for k in ("", "warm ", "cold ") for m in ("recall", "ndcg")]
    )


class TestFinish:
    def test_cold_items_that_nothing_lets_through_are_let_through(self, split):
        training = Training(split, BundleSettings(epochs=1), 0)
        training.model.evidence.popularity.data[1] = -2.0
        builder, warm = training.builder(), split.degrees > 0
        before = evaluate(builder, split.valid, warm)
        finish(builder, split)
        after = evaluate(builder, split.valid, warm)
        assert builder.model.evidence.popularity[1] > -1
        assert after["cold recall@20"] > before["cold recall@20"] + 0.1

    def test_it_takes_the_best_of_what_it_tries(self, split):
        """Over all, warm and cold items together no less is found than before."""
        training = Training(split, BundleSettings(epochs=1), 0)
        builder = training.builder()
        before = together(builder, split)
        finish(builder, split)
        assert together(builder, split) >= before

    def test_where_hardly_any_company_is_shared_its_weight_stays_bounded(self):
        """The twentieth best of a cart has no company in common with it: scores of millions."""
        shop = simulate(items=3000, bundles=300, users=5)
        bare = replace(shop, texts={}, labels={}, feedback=shop.feedback[:0])
        sparse = split_bundles(bare, 0)
        builder = Training(sparse, BundleSettings(epochs=1), 0).builder()
        finish(builder, sparse)
        weight, penalty = builder.model.evidence.ridge.tolist()
        part = ridge_scores(builder.blocks, sparse.valid.shown, penalty)(slice(0, 3000))
        best = weight * float(part.max(1).values.mean())
        assert 0 < best < 1.01 * max(WEIGHTS) * FIRST * STEEPEST

    def test_ridge_is_weighed_where_company_tells(self, split):
        """Nothing is known but who holds what: bundles of two kinds of items."""
        rng = np.random.default_rng(0)
        rows = [rng.permutation(40)[:6] + 40 * (n % 2) for n in range(120)]
        at = np.array([(n, i) for n, own in enumerate(rows) for i in own])
        known = Catalogue("two", np.arange(80).astype(str), incidence(at, 120, 80),
                          np.arange(120).astype(str))  # fmt: skip
        two = split_bundles(known, 0)
        training = Training(two, BundleSettings(epochs=1), 0)
        training.model.evidence.weight.data.zero_()
        builder, warm = training.builder(), two.degrees > 0
        before = evaluate(builder, two.valid, warm)["recall@20"]
        ridge, tried = builder.model.evidence.ridge, {}
        for penalty in PENALTIES:
            part = ridge_scores(builder.blocks, two.valid.shown, penalty)(slice(0, 80))
            unit = FIRST / part.topk(20).values[:, -1].mean()
            for weight in WEIGHTS:
                ridge.copy_(torch.tensor([weight * unit, penalty]))
                tried[tuple(ridge.tolist())] = together(builder, two)
        ridge.copy_(torch.tensor([0.0, 1.0]))
        finish(builder, two)
        assert tried[tuple(ridge.tolist())] == max(tried.values())
        assert evaluate(builder, two.valid, warm)["recall@20"] > before + 0.1
        kept = deepcopy(builder.model.state_dict())
        assert torch.equal(kept["evidence.ridge"], builder.model.evidence.ridge)

    def test_company_that_speaks_against_is_silenced(self, split):
        training = Training(split, BundleSettings(epochs=1), 0)
        evidence = training.model.evidence
        company = torch.tensor(evidence.company)
        evidence.weight.data[company] = -100.0
        builder = training.builder()
        before = together(builder, split)
        finish(builder, split)
        assert (evidence.weight[company] == 0).all()
        assert (evidence.weight[~company] > 0).any()
        assert together(builder, split) > before


class TestKin:
    def test_training_is_blind_to_sessions_and_near_duplicates(self, shop):
        sessions = np.arange(shop.bundles.shape[0])
        sessions[:40] //= 2
        split = split_bundles(replace(shop, sessions=sessions), 0)
        kin = same_kin(split).toarray() > 0
        of = sessions[split.train]
        assert (kin | (of[:, None] != of[None])).all()
        assert (kin == kin.T).all()
        training = Training(split, BundleSettings(), 0)
        batch = training.batch_of(training.rows[:6], np.random.default_rng(0))
        names = [block.name for block in training.blocks]
        query = batch.queries[names.index("bundles")].numpy()
        assert (query[kin[training.rows[:6]]] == 0).all()
        assert query.sum() > 0
        counted = kin[training.rows[:6]].astype(float) @ split.training.toarray()
        assert (batch.kin.toarray() == counted).all()

    def test_whoever_took_its_kin_is_not_asked(self, shop):
        """A user who took the whole of one bundle says nothing of the other of its session."""
        one, other = shop.bundles[0].indices, shop.bundles[1].indices
        sessions = np.arange(shop.bundles.shape[0])
        sessions[1] = 0
        feedback = np.array([(0, i) for i in np.union1d(one, other[:1])] + [(1, other[0])])
        known = replace(shop, sessions=sessions, feedback=feedback)
        split = next(s for n in range(9) if 1 in (s := split_bundles(known, n)).train)
        _, blind = company_blocks(split)
        row = split.train.tolist().index(1)
        assert blind["feedback"][row].toarray().ravel().astype(bool).tolist() == [True, False]

    def test_popularity_does_not_count_kin(self, shop):
        sessions = np.arange(shop.bundles.shape[0])
        sessions[:40] //= 2
        split = split_bundles(replace(shop, sessions=sessions), 0)
        training = Training(split, BundleSettings(), 0)
        evidence = training.model.evidence
        evidence.popularity.data.copy_(torch.tensor([0.7, 5.0, -3.0]))
        batch = training.batch_of(training.rows[:6], np.random.default_rng(0))
        kin = same_kin(split).toarray()[training.rows[:6]] > 0
        held = split.training.toarray()
        left = torch.stack([torch.from_numpy(held[~own].sum(0)) for own in kin])
        found = evidence.alone(evidence.degrees)[None] + _without_kin(training.model, batch)
        assert torch.allclose(found, evidence.alone(left), atol=1e-5)
        evidence.weight.data.zero_()
        loss = objective(training.model, batch, training.features, torch.Generator())
        assert loss.item() == pytest.approx(found_by_score(found, batch).item(), rel=1e-5)


class TestLater:
    def test_scores_stand_where_the_catalogue_has_the_items(self, split):
        settings = BundleSettings(epochs=1)
        later = with_cold_items_later(split, settings, 0)
        names = split.catalogue.items
        assert later.builder.items[later.place].tolist() == names.tolist()
        asked = split.test.shown
        found = later.scores(asked)
        whole = np.asarray(found(slice(0, later.size)))
        assert np.allclose(np.asarray(found(slice(10, 30))), whole[:, 10:30])
        row, own = 0, asked[0].indices
        number = {name: n for n, name in enumerate(later.builder.items.tolist())}
        at = [number[name] for name in names[own]]
        same = csr_matrix((np.ones(len(at)), ([0] * len(at), at)), shape=(1, later.size))
        alone = later.builder.scores(same.astype(np.float32))(slice(0, later.size)).numpy()[0]
        assert np.allclose(alone[later.place], whole[row], atol=1e-5)

    def test_titles_are_what_is_known_of_them(self, split):
        later = with_cold_items_later(split, BundleSettings(epochs=1), 0)
        new = set(split.catalogue.items) - set(later.builder.items[later.place][split.degrees > 0])
        number = {name: n for n, name in enumerate(later.builder.items.tolist())}
        last = [number[name] for name in new if number[name] >= len(number) - 5]
        assert len(last) == 5
        there = {b.name: b.present[last].tolist() for b in later.builder.blocks}
        assert there["title"] == [True] * 5
        assert there["kind"] == there["bundles"] == there["feedback"] == [False] * 5

    def test_training_knew_none_of_them(self, split):
        seen = split.catalogue.bundles[np.append(split.train, split.valid.bundles)].sum(0)
        old = np.flatnonzero(np.asarray(seen).ravel())
        fewer = only(split, old)
        assert fewer.catalogue.items.tolist() == split.catalogue.items[old].tolist()
        assert fewer.valid.hidden.sum() == split.valid.hidden.sum()
        assert fewer.training.sum() == split.training.sum()
        text = [split.catalogue.texts["title"][i] for i in old]
        assert fewer.catalogue.texts["title"] == text
        named = {(u, str(split.catalogue.items[i])) for u, i in split.catalogue.feedback}
        left = {(u, str(fewer.catalogue.items[i])) for u, i in fewer.catalogue.feedback}
        assert left == {(u, name) for u, name in named if name in set(fewer.catalogue.items)}

    @pytest.mark.parametrize("size", [1, 3])
    def test_padded(self, size):
        held = csr_matrix(np.tri(size, 4, dtype=np.float32))
        items, there = padded(held)
        assert there.sum(1).tolist() == list(range(1, size + 1))
        assert items[there].tolist() == held.indices.tolist()
