"""The model: what it may see, what it learns, what new items get, what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nearfar.functional import linear_cross_entropy
from nearfar_bundle.augment import bundle_view, dropped, without_modalities
from nearfar_bundle.baselines import best_blend, simple_scorers
from nearfar_bundle.builder import Builder
from nearfar_bundle.evaluate import evaluate
from nearfar_bundle.objective import found_by_product, found_by_score, objective
from nearfar_bundle.settings import VARIANTS, BundleSettings
from nearfar_bundle.simulate import simulate
from nearfar_bundle.split import split_bundles
from nearfar_bundle.train import Training, train
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings


def paper(**given):
    return load_settings(BundleSettings, base=VARIANTS["paper"] | given)


class TestBatch:
    def test_a_bundle_is_no_evidence_of_itself(self, split):
        training = Training(split, BundleSettings(), 0)
        rows = training.rows[:5]
        batch = training.batch_of(rows, np.random.default_rng(0))
        names = [block.name for block in training.blocks]
        query = batch.queries[names.index("bundles")]
        assert (query[np.arange(5), rows] == 0).all()
        assert query.sum() > 0
        feedback = split.catalogue.feedback
        for place, row in enumerate(rows):
            held = set(split.training[row].indices.tolist())
            for user in np.unique(feedback[:, 0]):
                if held <= set(feedback[feedback[:, 0] == user, 1].tolist()):
                    assert batch.queries[names.index("feedback")][place, user] == 0

    def test_shown_and_hidden_are_the_bundle(self, split):
        batch = Training(split, BundleSettings(), 0).batch()
        assert ((batch.shown + batch.hidden) != batch.whole).nnz == 0
        assert min(np.diff(batch.shown.indptr)) >= 1
        assert min(np.diff(batch.hidden.indptr)) >= 1

    def test_candidates_stand_for_the_whole_catalogue(self, split):
        training = Training(split, BundleSettings(candidates=120, batch=4), 0)
        batch = training.batch()
        assert len(batch.candidates) < len(split.catalogue)
        assert float(batch.share.sum()) == pytest.approx(len(split.catalogue), rel=1e-4)
        assert set(batch.whole.indices.tolist()) <= set(batch.candidates.tolist())


class TestObjective:
    def test_both_ways_to_find_are_the_multinomial_likelihood(self, split):
        batch = Training(split, paper(target="held_out"), 0).batch()
        torch.manual_seed(0)
        states = torch.randn(batch.whole.shape[0], 8)
        vectors = torch.randn(len(batch.candidates), 8)
        want = []
        scores = (states @ vectors.T).double().numpy()
        for row in range(len(states)):
            own = batch.hidden[row].indices
            rest = np.log(np.exp(scores[row]).sum())
            want.append(np.mean([rest - scores[row, item] for item in own]))
        assert float(found_by_product(states, vectors, batch)) == pytest.approx(
            np.mean(want), rel=1e-5
        )
        masked = states @ vectors.T
        shown = batch.shown.toarray() > 0
        losses = []
        for row in range(len(states)):
            left = torch.from_numpy(~shown[row]).nonzero()[:, 0]
            for item in batch.hidden[row].indices:
                place = (left == int(item)).nonzero()[0]
                loss = linear_cross_entropy(states[row : row + 1], vectors[left], place)
                losses.append(float(loss) / batch.hidden[row].nnz)
        assert float(found_by_score(masked, batch)) == pytest.approx(
            sum(losses) / len(states), rel=1e-5
        )

    @pytest.mark.parametrize("items", ["none", "same", "dropout", "noise", "modalities"])
    def test_each_view_of_items_trains_the_encoder(self, split, items):
        training = Training(split, paper(item_views=items, bundle_views="none", epochs=1), 0)
        loss = objective(
            training.model, training.batch(), training.features, torch.Generator().manual_seed(0)
        )
        loss.backward()
        assert torch.isfinite(loss)
        assert training.model.items.query.weight.grad.abs().sum() > 0
        # Fault 1 of the published code: these were never trained there.
        assert training.model.bundles.query.weight.grad.abs().sum() > 0

    @pytest.mark.parametrize("how", ["drop", "replace", "add"])
    def test_bundle_views(self, how):
        g = torch.Generator().manual_seed(0)
        items = torch.arange(1, 25).view(4, 6)
        present = torch.arange(6) < torch.tensor([1, 2, 5, 6])[:, None]
        view, there = bundle_view(items, present, how, 0.5, 10**6, g)
        for row, n in enumerate((1, 2, 5, 6)):
            own = set(items[row, :n].tolist())
            seen = view[row][there[row]].tolist()
            kept = [item for item in seen if item in own]
            want = {"drop": max(1, min(n - 1, round(n / 2))), "replace": None, "add": n}[how]
            if how == "replace":
                assert len(seen) == n
                assert len(kept) == max(1, min(n - 1, round(n / 2)))
            else:
                assert len(kept) == want
                assert len(seen) == (n + max(1, round(n / 2)) if how == "add" else want)

    def test_item_views(self):
        g = torch.Generator().manual_seed(0)
        present = torch.rand(500, 3, generator=g) < 0.8
        less = without_modalities(present, 0.9, g)
        assert (less <= present).all()
        assert (less.any(1) == present.any(1)).all()
        assert less.sum() < present.sum()
        rows = dropped(torch.ones(20_000), 0.2, g)
        assert set(rows.unique().tolist()) == {0.0, 1.25}
        assert float(rows.mean()) == pytest.approx(1, abs=0.02)


class TestLearning:
    def test_it_finds_more_than_the_best_blend(self):
        split = split_bundles(simulate(items=400, bundles=300, users=100), 0)
        builder = train(split, BundleSettings(epochs=8), 0)
        blend, _ = best_blend(split, simple_scorers(split))
        warm = split.degrees > 0
        ours, theirs = (evaluate(s, split.test, warm) for s in (builder, blend))
        assert ours["recall@20"] > theirs["recall@20"] + 0.05

    def test_stopped_and_resumed_is_the_same(self, split):
        own = BundleSettings(epochs=2, encoder=True, cf_epochs=1, batch=16)
        whole, first, second = (Training(split, own, 0) for _ in range(3))
        for _ in range(6):
            whole.step()
        for _ in range(3):
            first.step()
        second.load_state(first.state())
        for _ in range(3):
            second.step()
        for name, value in whole.model.state_dict().items():
            assert torch.equal(value, second.model.state_dict()[name]), name
        assert whole.history == second.history

    @pytest.mark.parametrize("variant", ["default", "paper"])
    def test_what_is_kept_scores_alike(self, split, builder, variant, tmp_path):
        if variant == "paper":
            builder = train(split, paper(epochs=1, cf_epochs=1), 0)
        builder.save(tmp_path / "model.safetensors")
        again = Builder.load(tmp_path / "model.safetensors")
        whole = slice(0, builder.size)
        shown = split.test.shown
        assert torch.equal(again.scores(shown)(whole), builder.scores(shown)(whole))
        assert again.labels == builder.labels


class TestNewItems:
    def test_a_title_alone_scores_as_in_training(self, split, builder):
        known = split.catalogue
        cold = int(np.flatnonzero(split.degrees == 0)[0])
        title = known.texts["title"][cold]
        more = builder.with_items(["late"], {"title": [title]})
        shown = split.test.shown.copy()
        shown.resize(shown.shape[0], more.size)
        scores = more.scores(shown)(slice(0, more.size))
        evidence = more.model.evidence
        k = [block.name for block in more.blocks].index("title")
        from nearfar_bundle.batches import queries_of
        from nearfar_bundle.evidence import Items

        part = evidence.part(
            k, queries_of(shown, more.blocks)[k], Items(more.blocks, slice(0, more.size))
        )
        assert torch.allclose(part[:, -1], part[:, cold])
        assert scores[:, -1].std() > 0

    def test_a_known_name_is_refused(self, builder):
        with pytest.raises(UserError, match="in the catalogue already"):
            builder.with_items([str(builder.items[0])])
