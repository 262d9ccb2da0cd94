"""Encoders, objectives and training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nearfar_dna.alphabet import encode as codes_of
from nearfar_dna.alphabet import reverse_complement
from nearfar_dna.encoders import CompositionEncoder, TransformerEncoder, encode
from nearfar_dna.fragments import draw_fragments
from nearfar_dna.genomes import Genomes
from nearfar_dna.model import DnaModel
from nearfar_dna.objective import method_at, mixed_loss, pair_loss
from nearfar_dna.settings import DnaSettings
from nearfar_dna.tokenizer import learn_tokenizer
from nearfar_dna.train import Training, train
from nearfar_kit.errors import UserError
from nearfar_kit.run import RunFolder

SMALL = {"steps": 6, "fragments_a_genome": 10, "width": 16, "hidden": 16, "shortest": 500,
         "longest": 1500}  # fmt: skip


@pytest.fixture(scope="module")
def fragments(genomes):
    return draw_fragments(genomes, 4, 400, 0)


@pytest.fixture(scope="module")
def tokenizer(fragments):
    return learn_tokenizer(fragments[0], 64)


def transformer(tokenizer, positions):
    torch.manual_seed(0)
    return TransformerEncoder(tokenizer, 16, 3, 2, 32, positions, 128).eval()


def test_rows_are_unit_and_alike_on_both_strands(model, fragments):
    codes = fragments[0][:3]
    rows = model.embed(codes)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(rows, model.embed([reverse_complement(c) for c in codes]), atol=1e-5)


def test_whitened_fragments_of_a_genome_differ_alike_in_all_directions(genomes):
    codes, genome = draw_fragments(genomes, 300, 300, 0)
    torch.manual_seed(0)
    encoder = CompositionEncoder((2,), 10, 1, 8)
    prepared = encoder.prepare(codes)
    encoder.begin_whitened(prepared, torch.from_numpy(genome), shrinkage=0.0)
    rows = encode(encoder, prepared).detach().numpy().astype(np.float64)
    within = np.concatenate([rows[genome == g] - rows[genome == g].mean(0) for g in range(6)])
    covariance = within.T @ within / len(within)
    # Frequencies that sum to one leave one direction in which nearly nothing varies.
    assert np.linalg.eigvalsh(covariance)[1:] == pytest.approx(np.ones(9), abs=0.05)


@pytest.mark.parametrize("positions", ["rotary", "alibi"])
class TestTransformer:
    def test_padding_changes_nothing(self, tokenizer, positions):
        encoder = transformer(tokenizer, positions)
        short, long = codes_of("ACGTTGCA" * 8), codes_of("GGATTACA" * 30)
        alone = encode(encoder, encoder.prepare([short]))
        beside = encode(encoder, encoder.prepare([short, long]))
        assert torch.allclose(alone[0], beside[0], atol=1e-5)

    def test_places_matter(self, tokenizer, positions):
        encoder = transformer(tokenizer, positions)
        tokens = torch.arange(5, 25)[None]
        assert not torch.allclose(
            encode(encoder, tokens), encode(encoder, tokens.roll(7, 1)), atol=1e-5
        )

    def test_a_mixture_takes_the_tokens_that_both_have(self, tokenizer, positions):
        encoder = transformer(tokenizer, positions)
        tokens = encoder.prepare([codes_of("ACGTTGCA" * 8), codes_of("GGATTACA" * 30)])
        seen = []
        encoder.layers[2].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].mask))
        mixed_loss(encoder, torch.nn.Identity(), tokens, tokens, at=2, alpha=1.0, temperature=0.1)
        there = tokens != encoder.padding
        assert torch.equal(seen[0], (there[:1] & there[1:]).expand(2, -1))
        assert torch.equal(seen[1], there)


def test_the_mixed_loss_is_its_definition(genomes, fragments):
    torch.manual_seed(1)
    encoder = CompositionEncoder((3,), 8, 2, 8).double()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = encoder.prepare(fragments[0][:10]).double()
    a, b = x[:5], x[5:]
    from nearfar.mixing import mix_rows

    hidden = encoder.layers[0](encoder.begin(a)).values
    _, targets = mix_rows(
        hidden, alpha=1.0, chance=1.0, majority=True, generator=torch.Generator().manual_seed(3)
    )
    share, partner = targets.weight[:, :1].double(), targets.index[:, 1]
    mixed = share * hidden + (1 - share) * hidden[partner]
    f1 = encoder.layers[2](encoder.layers[1](type(encoder.begin(a))(mixed))).values
    f2 = encode(encoder, b)
    f1, f2 = (f / f.norm(dim=1, keepdim=True) for f in (f1, f2))
    log_p = torch.log_softmax(f1 @ f2.T / 0.2, 1)
    own = torch.arange(5)
    expected = -(share[:, 0] * log_p[own, own] + (1 - share[:, 0]) * log_p[own, partner]).mean()
    found = mixed_loss(
        encoder, torch.nn.Identity(), a, b, at=1, alpha=1.0, temperature=0.2,
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    assert (share > 0.5).all()


def test_weighted_simclr_is_the_papers():
    torch.manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(6, 5).double(), dim=1) for _ in range(2))
    f, tau, total = torch.cat([a, b]), 0.3, 0.0
    s = f @ f.T / tau
    for i in range(12):
        p = (i + 6) % 12
        others = [j for j in range(12) if j not in (i, p)]
        e = s[i, others].exp()
        weight = e / (e.sum() / 10)
        total -= torch.log(s[i, p].exp() / (s[i, p].exp() + (weight * e).sum())) / 12
    found = pair_loss("weighted_simclr", a, b, torch.arange(6), tau)
    assert found.item() == pytest.approx(float(total), rel=1e-9)


def test_the_curriculum_turns_after_a_third():
    settings = DnaSettings(method="c2lr", steps=9)
    assert [method_at(settings, n) for n in range(9)] == ["weighted_simclr"] * 3 + ["mi_mix"] * 6


def test_a_batch_holds_a_species_once_and_pairs_of_one_genome(genomes):
    training = Training(genomes, DnaSettings(**SMALL), 0)
    rows, species = training.pool.pairs(4, 2, np.random.default_rng(0))
    assert len(set(species.tolist())) == 4
    assert (training.pool.genome[rows[:, 0]] == training.pool.genome[rows[:, 1]]).all()
    assert (rows[:, 0] != rows[:, 1]).all()


@pytest.mark.parametrize("method", ["simclr", "weighted_simclr", "sup_con", "i_mix", "mi_mix"])
def test_every_method_learns(genomes, method):
    own = {"steps": 60, "rows_a_species": 4, "start": "random", "learning_rate": 3e-3}
    training = Training(genomes, DnaSettings(**SMALL | own, method=method), 0)
    losses = [training.step() for _ in range(60)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.05


@pytest.mark.parametrize(("method", "layers"), [("i_mix", {0}), ("mi_mix", {0, 1, 2})])
def test_mixtures_are_before_any_layer(genomes, monkeypatch, method, layers):
    settings = DnaSettings(**SMALL, method=method, depth=2, hardness=0.7, alpha=0.4)
    seen = []

    def kept(*views, **asked):
        seen.append(asked)
        return mixed_loss(*views, **asked)

    monkeypatch.setattr("nearfar_dna.train.mixed_loss", kept)
    training = Training(genomes, settings, 0)
    for _ in range(20):
        training.step()
    assert {one["at"] for one in seen} == layers
    assert {(one["hardness"], one["alpha"]) for one in seen} == {(0.7, 0.4)}


def test_half_precision_learns_nearly_the_same(genomes):
    first, half = (
        Training(genomes, DnaSettings(**SMALL, precision=precision), 0)
        for precision in ("fp32", "bf16")
    )
    losses = np.array([[one.step() for _ in range(3)] for one in (first, half)])
    assert not np.array_equal(losses[0], losses[1])
    assert np.allclose(losses[0], losses[1], rtol=0.02)


def test_the_head_learns_at_its_own_rate(genomes):
    own = {"projection": 8, "head_rate": 0.5, "learning_rate": 1e-3}
    training = Training(genomes, DnaSettings(**SMALL | own), 0)
    training.step()
    assert [group["lr"] for group in training.optimizer.param_groups] == pytest.approx(
        [1e-3 / 30, 5e-4 / 30]
    )
    assert len(training.optimizer.param_groups[1]["params"]) == 2


def test_a_resumed_run_goes_on_to_the_same_numbers(genomes, tmp_path):
    settings = DnaSettings(**SMALL)
    whole = train(genomes, settings, 0, run=RunFolder(tmp_path / "a", settings))
    first = Training(genomes, settings, 0)
    for _ in range(3):
        first.step()
    second = Training(genomes, settings, 0)
    second.load_state(first.state())
    for _ in range(3):
        second.step()
    for name, value in whole.encoder.state_dict().items():
        assert torch.equal(value, second.encoder.state_dict()[name]), name
    again = DnaModel.load(tmp_path / "a")
    codes = [genomes.genomes[0].pieces[0][:900]]
    assert np.array_equal(again.embed(codes), whole.embed(codes))


def test_a_run_is_not_resumed_with_other_species(genomes, tmp_path):
    settings = DnaSettings(**SMALL)
    train(genomes, settings, 0, run=RunFolder(tmp_path / "a", settings))
    first, *rest = genomes.genomes
    other = Genomes((replace(first, species="other"), *rest))
    with pytest.raises(UserError, match=r"began with species .*, now other to .*; expected the"):
        train(other, settings, 0, run=RunFolder(tmp_path / "a", settings, resume=True))


def test_a_transformer_is_trained_kept_and_read(genomes, tmp_path):
    own = {"encoder": "transformer", "depth": 2, "heads": 2, "vocabulary": 64, "max_tokens": 64,
           "steps": 3, "projection": 8}  # fmt: skip
    settings = DnaSettings(**SMALL | own)
    model = train(genomes, settings, 0)
    model.save(tmp_path / "model.safetensors")
    codes = [genomes.genomes[0].pieces[0][:900], genomes.genomes[1].pieces[0][:100]]
    again = DnaModel.load(tmp_path / "model.safetensors")
    rows = again.embed(codes)
    assert np.allclose(rows, model.embed(codes), atol=1e-6)
    # A sequence of several times 5 x 64 bases is the mean of its pieces, whatever their order.
    parts = [codes[0][at : at + 320] for at in (0, 320, 640)]
    mean = np.sum([model.embed([part])[0] for part in parts], axis=0)
    assert np.allclose(rows[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert np.allclose(rows[1], model.embed(codes[1:])[0], atol=1e-5)


def test_one_species_is_refused(genomes):
    with pytest.raises(UserError, match="one species only"):
        Training(genomes.of_species(genomes.names[:1]), DnaSettings(**SMALL), 0)
