"""Training: what is learnt, in which steps, and to the same numbers after a stop."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from nearfar_kit.errors import UserError
from nearfar_kit.run import RunFolder
from nearfar_seqrec.batches import Batches
from nearfar_seqrec.evaluate import evaluate
from nearfar_seqrec.recommender import Recommender
from nearfar_seqrec.train import Training, train

METHODS = ["sasrec", "gru4rec", "cl4srec", "duorec", "mclrec"]


@pytest.mark.parametrize(
    ("method", "mode"), [*((m, "positions") for m in METHODS), ("sasrec", "prefix")]
)
def test_a_circle_is_learnt(circle_split, small, method, mode):
    settings = small(
        method=method, train_mode=mode, epochs=24, learning_rate=0.03, dropout=0.0, patience=24,
        validate_every=6, batch=16 if mode == "positions" else 64,
    )  # fmt: skip
    training = Training(circle_split, settings, seed=0)
    while not (training.over or (training.history and training.history[-1]["mrr"] > 0.6)):
        training.step()
    found = evaluate(training.scorer(), circle_split, circle_split.test, longest=6)
    assert found["hit@5"] > 0.95
    assert found["mrr"] > 0.55  # by chance: 0.26


def batch_of(split, settings, epoch=0):
    return next(
        Batches(
            split, mode=settings.train_mode, longest=settings.longest, size=settings.batch, seed=0,
            want_alike=True,
        ).epoch(epoch)
    )  # fmt: skip


class TestNextItemLoss:
    def test_is_the_dense_cross_entropy_of_all_targets(self, circle_split, tiny_model, small):
        model = tiny_model(circle_split).double()
        batch = batch_of(circle_split, small())
        logits = model.states(batch.items) @ model.item_embedding.weight.T  # B x L x items + 1
        want = cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=0)
        got = model.next_item_loss(batch, torch.Generator())
        assert torch.isclose(got, want, rtol=1e-10, atol=0)

    def test_sampled_tends_to_the_full_one(self, circle_split, tiny_model, small):
        batch = batch_of(circle_split, small())
        full = tiny_model(circle_split).next_item_loss(batch, torch.Generator())
        model = tiny_model(circle_split, loss="sampled", sampled_items=200_000)
        with torch.no_grad():
            # Padding can be a target of the full softmax but not of the sampled one.
            got = model.next_item_loss(batch, torch.Generator().manual_seed(0))
            weight = model.item_embedding.weight
            hidden = model.states(batch.items)[batch.targets > 0]
            target = batch.targets[batch.targets > 0] - 1
            want = cross_entropy(hidden @ weight[1:].T, target)
        assert got == pytest.approx(want.item(), abs=2e-3)
        assert full.item() != pytest.approx(want.item(), abs=2e-3)

    def test_one_target_a_row_may_stand_anywhere(self, circle_split, tiny_model, small):
        model = tiny_model(circle_split).double()
        batch = batch_of(circle_split, small())
        targets = torch.zeros_like(batch.targets)
        row = torch.arange(len(batch))
        place = row % (batch.targets > 0).sum(1)
        targets[row, place] = batch.targets[row, place]
        batch = replace(batch, targets=targets)
        logits = model.states(batch.items) @ model.item_embedding.weight.T
        want = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0)
        got = model.next_item_loss(batch, torch.Generator())
        assert torch.isclose(got, want, rtol=1e-10, atol=0)

    def test_modes_have_the_same_targets_and_alike_states(self, circle_split, tiny_model, small):
        # With histories as long as all of it, a state does not tell in which mode it was made.
        model = tiny_model(circle_split, longest=20)
        losses = []
        for mode in ("positions", "prefix"):
            settings = small(train_mode=mode, longest=20, batch=10_000)
            batch = batch_of(circle_split, settings)
            losses.append(model.next_item_loss(batch, torch.Generator()).item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


class TestLastState:
    def test_padding_after_the_end_does_not_show(self, circle_split, tiny_model):
        for method in METHODS:
            model = tiny_model(circle_split, method=method)
            items, length = torch.tensor([[3, 1, 2]]), torch.tensor([3])
            padded = torch.tensor([[3, 1, 2, 0, 0]])
            a, b = model.last_state(items, length), model.last_state(padded, length)
            assert torch.allclose(a, b, atol=1e-6)

    def test_is_recboles_own(self, circle_split, tiny_model):
        for method in ("sasrec", "gru4rec"):
            model = tiny_model(circle_split, method=method)
            items, length = torch.tensor([[3, 1, 0], [2, 4, 5]]), torch.tensor([2, 3])
            want = model.forward(items, length)  # RecBole's
            assert torch.allclose(model.last_state(items, length), want, atol=1e-6)

    @pytest.mark.parametrize("layers", [1, 2])
    def test_is_the_last_of_all_states_and_so_are_its_gradients(
        self, circle_split, tiny_model, layers
    ):
        model = tiny_model(circle_split, layers=layers, heads=2).double()
        torch.manual_seed(1)
        with torch.no_grad():  # biases and norms begin as zeros and ones, which hide mistakes
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        items = torch.tensor([[3, 0, 2, 5, 1], [4, 6, 0, 0, 0], [7, 0, 0, 0, 0], [0, 0, 9, 8, 0]])
        length = torch.tensor([5, 2, 1, 4])
        toward = torch.randn(4, 8, dtype=torch.float64)
        whole = model.states(items)[torch.arange(4), length - 1]
        short = model.last_state(items, length)
        assert torch.allclose(short, whole, rtol=0, atol=1e-12)
        want, got = (
            torch.autograd.grad((toward * states).sum(), list(model.parameters()))
            for states in (whole, short)
        )
        for (name, _), g, w in zip(model.named_parameters(), got, want, strict=True):
            assert torch.allclose(g, w, rtol=0, atol=1e-11), name

    @pytest.mark.parametrize("where", ["attn_dropout", "out_dropout", "feed_forward.dropout"])
    def test_each_dropout_of_the_block_reaches_it(self, circle_split, tiny_model, where):
        model = tiny_model(circle_split, dropout=0.5)
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Dropout) and not name.endswith(where):
                module.p = 0.0
        items, length = torch.tensor([[3, 1, 2]]), torch.tensor([3])
        assert torch.equal(model.last_state(items, length), model.last_state(items, length))
        model.train()
        assert not torch.equal(model.last_state(items, length), model.last_state(items, length))

    def test_the_future_does_not_show(self, circle_split, tiny_model):
        for method in ("sasrec", "gru4rec"):
            model = tiny_model(circle_split, method=method)
            a, b = model.states(torch.tensor([[3, 1, 2, 5], [3, 1, 4, 6]]))
            assert torch.allclose(a[:2], b[:2], atol=1e-6)
            assert not torch.allclose(a[2:], b[2:], atol=1e-3)


def l_con(a, b):
    """MCLRec's contrast by its definition: both views' rows, each other's one positive."""
    z = torch.cat([a, b])
    n = len(a)
    scores = (z @ z.T).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return cross_entropy(scores, torch.arange(2 * n).roll(n))


def margin(a, b):
    """Its regulariser, a row at a time."""
    z, n = torch.cat([a, b]), len(a)
    total = 0.0
    for i in range(2 * n):
        near = z[i] @ z[(i + n) % (2 * n)]
        far = torch.stack([z[i] @ z[j] for j in range(2 * n) if j % n != i % n])
        low, high = torch.minimum(near, far.max()), torch.maximum(near, far.max())
        total = total + (near - low).relu() + (high - far).relu().mean()
    return total / (2 * n)


class TestMetaSteps:
    """MCLRec's steps against plain losses and gradients through the whole graph."""

    @pytest.fixture
    def model(self, circle_split, tiny_model):
        model = tiny_model(circle_split, method="mclrec", view_weight=0.3, meta_weight=0.7)
        return model.double().eval()  # no dropout: the same states at each call

    @pytest.fixture
    def batch(self, circle_split, small):
        return batch_of(circle_split, small(batch=6))

    def reference(self, model, batch, views):
        """The losses of encoder and augmenters, dense, from the definition."""
        (h1, h2) = (model.last_state(*view) for view in views)
        z1, z2 = (normalize(w(h), dim=1) for w, h in zip(model.augmenters, (h1, h2), strict=True))
        meta = l_con(h1, z2) + l_con(h2, z1) + l_con(z1, z2)
        meta = meta + 0.1 * (margin(h1, z2) + margin(h2, z1) + margin(z1, z2))
        logits = model.states(batch.items) @ model.item_embedding.weight.T
        rec = cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=0)
        return rec + 0.3 * l_con(h1, h2) + 0.7 * meta, meta

    def test_each_steps_gradient_is_that_of_the_definition(self, model, batch):
        views = model.drawn_views(batch, torch.Generator().manual_seed(3))
        groups = model.parameter_groups()
        steps = model.steps(batch, torch.Generator().manual_seed(3))  # draws the same views
        assert [step.parameters for step in steps] == ["encoder", "augmenters", "encoder"]
        rate = 0.05
        for name, loss_of in steps:  # plain descent, so that later steps see what earlier ones did
            own = groups[name]
            for_encoder, for_augmenters = self.reference(model, batch, views)
            want_loss = for_encoder if name == "encoder" else for_augmenters
            want = torch.autograd.grad(want_loss, own, allow_unused=True)
            loss = loss_of()
            got = torch.autograd.grad(loss, own, allow_unused=True)
            assert torch.isclose(loss, want_loss, rtol=1e-10, atol=0)
            for g, w in zip(got, want, strict=True):
                assert (g is None) == (w is None)
                if g is not None and w is not None:
                    assert (g - w).abs().max() <= 1e-10 * max(1.0, float(w.abs().max()))
            with torch.no_grad():
                for parameter, g in zip(own, got, strict=True):
                    if g is not None:
                        parameter -= rate * g

    def test_gradient_through_the_encoders_step_is_left_out_on_purpose(self, model, batch):
        """The second step's gradient equals that of an unrolled inner step but for the term that

        goes through it: first order, as published. The double backward tells the two apart.
        """
        views = model.drawn_views(batch, torch.Generator().manual_seed(3))
        groups = model.parameter_groups()
        encoder, augmenters = groups["encoder"], groups["augmenters"]
        names = [n for n, p in model.named_parameters() if any(p is e for e in encoder)]
        inner, _ = self.reference(model, batch, views)
        slope = torch.autograd.grad(inner, encoder, create_graph=True, allow_unused=True)
        moved = {
            n: p if g is None else p - 0.05 * g
            for n, p, g in zip(names, encoder, slope, strict=True)
        }

        class Whole(torch.nn.Module):  # functional_call looks for a module's forward
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self):
                return self.model.meta_loss(*self.model.view_states(views))

        def outer(parameters):
            named = {f"model.{n}": p for n, p in parameters.items()}
            return torch.func.functional_call(Whole(), named)

        first_order = torch.autograd.grad(
            outer({n: p.detach() for n, p in moved.items()}), augmenters, retain_graph=True
        )
        unrolled = torch.autograd.grad(outer(moved), augmenters)
        with torch.no_grad():
            for n, p in zip(names, encoder, strict=True):
                p.copy_(moved[n])
        got = torch.autograd.grad(model.augmenter_loss(views), augmenters)
        for g, f in zip(got, first_order, strict=True):
            assert (g - f).abs().max() <= 1e-12
        assert max(float((g - u).abs().max()) for g, u in zip(got, unrolled, strict=True)) > 1e-6

    def test_settings_take_parts_away(self, circle_split, tiny_model, batch):
        def steps(**given):
            model = tiny_model(circle_split, method="mclrec", **given)
            return [s.parameters for s in model.steps(batch, torch.Generator())]

        assert steps(meta="alternate") == ["encoder", "augmenters"]
        assert steps(meta="joint") == ["all"]
        assert steps(meta_weight=0.0) == ["encoder", "encoder"]
        h1, h2 = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)).double()
        plain = tiny_model(circle_split, method="mclrec", margin_weight=0.0, pairs="augmented")
        plain.double()
        z1, z2 = (normalize(w(h), dim=1) for w, h in zip(plain.augmenters, (h1, h2), strict=True))
        assert torch.isclose(plain.meta_loss(h1, h2), l_con(z1, z2))

    def test_the_augmenters_step_leaves_the_encoder_alone(self, circle_split, small):
        training = Training(circle_split, small(method="mclrec", meta="alternate"), seed=0)
        training.learn(next(training.batches.epoch(0)))
        encoder, augmenters = training.parameters["encoder"], training.parameters["augmenters"]
        assert not {id(p) for p in encoder} & {id(p) for p in augmenters}
        assert len(encoder) + len(augmenters) == len(list(training.model.parameters()))
        for name, own in training.parameters.items():
            counts = {int(s["step"]) for s in training.optimizers[name].state.values()}
            assert counts == {1}, name
            assert own


class TestContrasts:
    def test_cl4srec_and_duorec_add_their_contrast(self, circle_split, tiny_model, small):
        batch = batch_of(circle_split, small(batch=6))
        model = tiny_model(circle_split, method="cl4srec", view_weight=0.5).double()
        h1, h2 = model.view_states(model.drawn_views(batch, torch.Generator().manual_seed(1)))
        rest = model.next_item_loss(batch, torch.Generator())
        got = model.loss(batch, torch.Generator().manual_seed(1))
        assert torch.isclose(got, rest + 0.5 * l_con(h1, h2))
        model = tiny_model(circle_split, method="duorec", view_weight=0.5).double()
        h1 = model.last_state(batch.prefix, batch.prefix_length)
        h2 = model.last_state(batch.alike, batch.alike_length)
        rest = model.next_item_loss(batch, torch.Generator())
        assert torch.isclose(model.loss(batch, torch.Generator()), rest + 0.5 * l_con(h1, h2))

    def test_insert_and_substitute_know_what_is_similar(self, circle_split, small):
        settings = small(method="cl4srec", augmentations=("insert", "substitute"))
        training = Training(circle_split, settings, seed=0)
        assert training.step() > 0


class TestResuming:
    @pytest.mark.parametrize("method", ["mclrec", "duorec"])
    def test_goes_on_to_the_same_numbers(self, circle_split, small, method):
        settings = small(method=method, epochs=3, dropout=0.3)
        whole = Training(circle_split, settings, seed=4)
        while not whole.over:
            whole.step()
        first = Training(circle_split, settings, seed=4)
        while first.done <= len(first.batches):  # to the middle of an epoch
            first.step()
        second = Training(circle_split, settings, seed=4)
        second.load_state(first.state())
        while not second.over:
            second.step()
        assert second.history == whole.history
        for a, b in zip(second.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_through_a_run_folder(self, circle_split, small, tmp_path):
        settings = small(epochs=2)
        whole = train(circle_split, settings, run=RunFolder(tmp_path / "a", settings))
        run = RunFolder(tmp_path / "b", settings)
        training = Training(circle_split, settings, seed=0)
        training.step()
        from nearfar_kit.checkpoint import save_checkpoint

        begun = {"seed": 0, "users": len(circle_split.sequences),
                 "interactions": len(circle_split.sequences.flat), "items": 12,
                 "features": 0}  # fmt: skip
        file = run.checkpoint / f"training-{settings.method}.safetensors"
        save_checkpoint(file, {"begun_with": begun, "state": training.state()})
        resumed = train(circle_split, settings, run=run)
        assert resumed.history == whole.history
        begun["users"] = 3
        save_checkpoint(file, {"begun_with": begun, "state": training.state()})
        with pytest.raises(UserError, match="began with users 3, now 40; expected the same"):
            train(circle_split, settings, run=run)

    def test_what_is_shown_of_it(self, circle_split, small):
        training = Training(circle_split, small(epochs=2), seed=0)
        training.step()
        assert training.live() == {"epoch": 1.0}  # nothing is validated yet
        while not training.history:
            training.step()
        assert training.live() == {
            "epoch": 1.0, "valid ndcg@10": training.history[0]["ndcg@10"]
        }  # fmt: skip

    def test_patience_ends_it_and_the_best_is_kept(self, circle_split, small):
        training = Training(circle_split, small(epochs=50, patience=2, learning_rate=0.02), seed=0)
        while not training.over:
            training.step()
        values = [found["ndcg@10"] for found in training.history]
        if training.epoch < 50:
            assert values.index(max(values)) == len(values) - 3
        found = evaluate(training.scorer(), circle_split, circle_split.valid, longest=6)
        assert found["ndcg@10"] == max(values)


class TestRecommender:
    def test_file_keeps_all(self, circle_split, small, tmp_path):
        recommender = train(circle_split, small(method="mclrec"))
        recommender.save(tmp_path / "m.safetensors")
        loaded = Recommender.load(tmp_path / "m.safetensors")
        assert loaded.settings == recommender.settings
        assert loaded.sequences.names(loaded.sequences.of(3)) == circle_split.sequences.names(
            circle_split.sequences.of(3)
        )
        want = evaluate(recommender.scorer(), circle_split, circle_split.test, longest=6)
        assert evaluate(loaded.scorer(), circle_split, circle_split.test, longest=6) == want

    def test_what_is_no_model(self, tmp_path):
        from nearfar_kit.checkpoint import save_checkpoint

        save_checkpoint(tmp_path / "x", {"format": "other"})
        with pytest.raises(UserError, match="is of format 'other'; expected 'nearfar-seqrec"):
            Recommender.load(tmp_path / "x")


def test_a_loss_that_is_not_finite_is_told(circle_split, small):
    training = Training(circle_split, small(), seed=0)
    with torch.no_grad():
        training.model.item_embedding.weight[3] = 1e38
    with pytest.raises((UserError, ValueError), match=r"NaN|finite"):
        training.learn(next(training.batches.epoch(0)))


def test_settings_go_through_a_recbole_config_and_back(small):
    from nearfar_seqrec.models.config import config_of, settings_of

    settings = small(method="mclrec", meta="joint", longest=7, loss="sampled")
    assert settings_of(config_of(settings)) == settings
    assert json.dumps(settings_of(config_of(settings)).model_dump(mode="json"))
