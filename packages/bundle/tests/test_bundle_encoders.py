"""Encoders of bundles, against plain definitions, and what each is trained by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from nearfar_bundle.batches import padded
from nearfar_bundle.bundle_encoders import Denoising, Variational, encoder_of
from nearfar_bundle.objective import found_one_by_one, from_standard, objective
from nearfar_bundle.settings import VARIANTS, BundleSettings
from nearfar_bundle.train import Training
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings

NAMES = ["attention", "denoising", "variational", "recurrent", "transformer"]


def settings_of(**given):
    return load_settings(BundleSettings, base=VARIANTS["paper"] | {"width": 8} | given)


@pytest.fixture
def bundles():
    """Four bundles of one to four items, gaps and all, and what stands in the gaps."""
    g = torch.Generator().manual_seed(0)
    items = torch.randn(4, 5, 8, generator=g)
    present = torch.tensor([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 1, 1, 0]])
    return items, present.bool()


@pytest.mark.parametrize("name", NAMES)
class TestEncoder:
    def test_what_is_not_there_does_not_count(self, name, bundles):
        torch.manual_seed(0)
        encoder = encoder_of(settings_of(bundle_encoder=name)).eval()
        items, present = bundles
        found = encoder(items, present)
        other = torch.where(present[:, :, None], items, 100.0)
        assert torch.allclose(encoder(other, present), found, atol=1e-5)
        for row in range(4):
            own = items[row, present[row]][None]
            alone = encoder(own, torch.ones(own.shape[:2], dtype=torch.bool))
            assert torch.allclose(alone[0], found[row], atol=1e-5)

    def test_order_is_none_but_for_the_recurrent_one(self, name, bundles):
        torch.manual_seed(0)
        encoder = encoder_of(settings_of(bundle_encoder=name)).eval()
        items, present = bundles
        turned = encoder(items.flip(1), present.flip(1))
        same = torch.allclose(turned, encoder(items, present), atol=1e-5)
        assert same == (name != "recurrent")

    def test_all_of_it_is_trained(self, name, split):
        training = Training(split, settings_of(bundle_encoder=name, cf_width=0), 0)
        training.model.train()
        loss = objective(
            training.model, training.batch(), training.features, torch.Generator().manual_seed(0)
        )
        loss.backward()
        for which, parameter in training.model.bundles.named_parameters():
            # A transformer's keys have a bias to which softmax is blind.
            assert which.endswith("in_proj_bias") or parameter.grad.abs().sum() > 0, which


def test_noise_leaves_items_out_in_training_alone(bundles):
    items, present = bundles
    encoder = Denoising(8, 0.5)
    seen = [tuple(encoder.mean(items, present)[3].tolist()) for _ in range(40)]
    parts = items[3, :4]
    wanted = {
        tuple(parts[[i for i in range(4) if mask >> i & 1]].mean(0).tolist())
        for mask in range(1, 16)
    }
    near = [min(np.abs(np.subtract(one, w)).max() for w in wanted) for one in seen]
    assert max(near) < 1e-5
    assert len(set(seen)) > 5
    assert torch.allclose(encoder.eval().mean(items, present)[3], parts.mean(0))


def test_the_divergence_is_its_definition():
    torch.manual_seed(0)
    encoder = Variational(8, 0.0)
    items = torch.randn(5, 3, 8)
    posterior = encoder.posterior(items, torch.ones(5, 3, dtype=torch.bool))
    location, log_variance = encoder.layer(items.mean(1)).chunk(2, dim=1)
    assert torch.allclose(posterior.mean, location, atol=1e-6)
    assert torch.allclose(posterior.variance.log(), log_variance, atol=1e-5)
    mean, variance = posterior.mean.double(), posterior.variance.double()
    want = (mean**2 + variance - variance.log() - 1).sum(1).mean() / 2
    assert from_standard(posterior).item() == pytest.approx(want.item(), rel=1e-5)


def test_the_divergence_is_part_of_the_objective(split):
    losses = {}
    for weight in (0.0, 3.0):
        own = settings_of(bundle_encoder="variational", cf_width=0, kl_weight=weight,
                          item_views="none", bundle_views="none", bundle_noise=0.0)  # fmt: skip
        training = Training(split, own, 0)
        model = training.model.train()
        batch = training.batch()
        torch.manual_seed(0)
        losses[weight] = objective(model, batch, training.features, torch.Generator())
        items, present = padded(batch.shown)
        vectors = model.encoded(training.features, items.flatten()).view(*items.shape, -1)
        posterior = model.bundles.posterior(vectors, present)
    want = 3 * from_standard(posterior).item()
    assert (losses[3.0] - losses[0.0]).item() == pytest.approx(want, rel=1e-3)


class TestBinaryCrossEntropy:
    def test_one_by_one_is_torch_over_all_items(self, split):
        batch = Training(split, settings_of(target="held_out", cf_width=0), 0).batch()
        torch.manual_seed(0)
        states, vectors = torch.randn(len(batch), 8), torch.randn(len(batch.candidates), 8)
        scores = (states @ vectors.T - 3).double()
        hidden = torch.from_numpy(batch.hidden.toarray()).double()
        each = binary_cross_entropy_with_logits(scores, hidden, reduction="none").sum(1)
        found = found_one_by_one(states, vectors, torch.tensor(-3.0), batch)
        assert float(found) == pytest.approx(float((each / hidden.sum(1)).mean()), rel=1e-5)

    def test_its_bias_is_learnt_from_how_likely_any_item_is(self, split):
        training = Training(split, settings_of(loss="bce", cf_width=0, candidates=20), 0)
        assert training.model.bias.item() == pytest.approx(-np.log(len(split.catalogue)))
        assert len(training.batch().candidates) == len(split.catalogue)  # no sample stands for all
        training.step()
        assert training.model.bias.grad.abs() > 0

    def test_evidence_has_no_such_bias(self):
        with pytest.raises(UserError, match="loss=bce goes with evidence=false"):
            load_settings(BundleSettings, base={"loss": "bce"})
