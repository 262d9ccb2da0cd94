"""Training of SepCLR: the same numbers again, and the right thing learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from nearfar_kit.errors import UserError
from nearfar_medical.sepclr.baselines import METHODS, method_settings, simclr
from nearfar_medical.sepclr.encoders import make_encoders
from nearfar_medical.sepclr.pairs import Pairs
from nearfar_medical.sepclr.probes import probe_spaces, represent
from nearfar_medical.sepclr.settings import SepCLRSettings
from nearfar_medical.sepclr.toy import implanted_lesions
from nearfar_medical.sepclr.train import Separation, Task, weights_of

TINY = SepCLRSettings(
    channels=1, widths=(4, 4, 8, 8), blocks=(1, 1, 1, 1), common_dims=4, salient_dims=4,
    hidden=16, batch=16, steps=4, learning_rate=1e-3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def shapes_on_textures(n, seed):
    """Stripes along rows or columns; on targets a bright disc or cross, somewhere."""
    rng = np.random.default_rng(seed)
    is_target = np.arange(n) % 2 == 1
    texture, shape = rng.integers(0, 2, n), rng.integers(0, 2, n)
    y, x = np.mgrid[:16, :16]
    images = np.empty((n, 1, 16, 16), dtype=np.float32)
    for i in range(n):
        wave = np.sin((x if texture[i] else y) * 1.6 + rng.uniform(0, 6.3))
        images[i, 0] = 0.3 + 0.2 * wave + 0.05 * rng.standard_normal((16, 16))
        if is_target[i]:
            dx, dy = x - rng.integers(5, 11), y - rng.integers(5, 11)
            cross = ((abs(dx) < 1) | (abs(dy) < 1)) & (abs(dx) < 6) & (abs(dy) < 6)
            images[i, 0][dx**2 + dy**2 < 14 if shape[i] else cross] += 0.8
    return Pairs(
        torch.from_numpy(images),
        torch.from_numpy(is_target),
        {
            "texture": np.where(texture, "columns", "rows"),
            "shape": np.where(is_target, np.where(shape, "disc", "cross"), ""),
            "mean": images.mean((1, 2, 3)).astype(float),
        },
    )


PAIRS = shapes_on_textures(40, 0)


def weights(run):
    return torch.cat([v.flatten().double() for v in run.raw_task.state_dict().values()])


def test_a_rate_too_high_is_told():
    run = Separation(TINY.model_copy(update={"learning_rate": 1e30}), PAIRS, seed=0)
    with pytest.raises(UserError, match=r"^training, step \d+: .*; expected finite numbers"):
        run.run()


@pytest.mark.parametrize("objective", ["separate", "simclr"])
def test_the_same_seed_gives_the_same_weights(objective):
    settings = TINY.model_copy(update={"objective": objective})
    runs = [Separation(settings, PAIRS, seed=seed) for seed in (0, 0, 1)]
    for run in runs:
        torch.rand(1)  # chance from elsewhere has no say
        run.run()
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert not torch.equal(weights(runs[0]), weights(runs[2]))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_resumed_run_comes_to_the_same_weights(schedule):
    settings = TINY.model_copy(update={"schedule": schedule})
    whole, first, second = (Separation(settings, PAIRS, seed=3) for _ in range(3))
    whole.run()
    for _ in range(2):
        first.step()
    second.load_state(first.state())
    assert second.done == 2
    second.run()
    assert second.done == 4
    assert torch.equal(weights(whole), weights(second))
    assert whole.terms == second.terms


def test_fabric_changes_no_number():
    fabric = Fabric(accelerator="cpu", devices=1)
    runs = [Separation(TINY, PAIRS, seed=0, fabric=where) for where in (None, fabric)]
    for run in runs:
        run.run()
    torch.testing.assert_close(weights(runs[0]), weights(runs[1]))


def test_batches_are_half_background_and_half_target():
    few = Pairs(PAIRS.images[1:], PAIRS.is_target[1:] & (torch.arange(39) < 20))
    run = Separation(TINY, few, seed=0)
    drawn = [run._begin_step() for run.done in range(5)]
    assert all(int(few.is_target[rows].sum()) == 8 for rows in drawn)
    assert len({tuple(sorted(rows)) for rows in drawn}) == 5


def test_the_learning_rate_is_the_settings():
    run = Separation(TINY.model_copy(update={"steps": 40}), PAIRS, seed=0)
    run._begin_step()
    assert run.optimizer.param_groups[0]["lr"] == 1e-3
    run = Separation(TINY.model_copy(update={"steps": 40, "schedule": "cosine"}), PAIRS, seed=0)
    rates = []
    for run.done in range(40):
        run._begin_step()
        rates.append(run.optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(5e-4)
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert rates[-1] < 1e-5


def test_the_weights_of_the_settings_reach_the_objective():
    settings = TINY.model_copy(update={"salient": 3.0, "joint": 7.0, "common_uniformity": 0.5})
    run = Separation(settings, PAIRS, seed=0)
    run.step()
    t = run.terms
    want = (
        t["common_alignment"] + 0.5 * t["common_uniformity"]
        + 3 * (t["salient_alignment"] + 2 * t["salient_uniformity"])
        + 1000 * t["infoless"] + 7 * t["joint"]
    )  # fmt: skip
    assert run.loss == pytest.approx(want, rel=1e-5)
    assert weights_of(settings).joint == 7


def test_attributes_take_a_salient_number_each():
    settings = TINY.model_copy(update={"objective": "attributes", "salient_dims": 2})
    run = Separation(settings, PAIRS, seed=0, attributes=["shape", "mean"])
    codes, is_disc = run.table[:, 0], torch.from_numpy(PAIRS.attributes["shape"] == "disc")
    assert len(codes[is_disc].unique()) == 1
    assert len(codes[PAIRS.is_target].unique()) == 2
    assert run.table[PAIRS.is_target].amin(0)[1] == 0
    assert run.table[PAIRS.is_target].amax(0)[1] == 1
    assert run.raw_task.discrete == [True, False]
    run.run()
    assert np.isfinite(run.loss)
    for names, message in (
        (["shape"], "1 attributes for 2 salient_dims"),
        (["shape", "age"], "attribute age"),
    ):
        with pytest.raises(UserError, match=message):
            Separation(settings, PAIRS, seed=0, attributes=names)
    for missing in (np.full(40, np.nan), np.full(40, "")):
        holed = Pairs(PAIRS.images, PAIRS.is_target, {"a": missing, "b": np.ones(40)})
        with pytest.raises(UserError, match="attribute a: a target has no value"):
            Separation(settings, holed, seed=0, attributes=["a", "b"])


def test_images_that_do_not_fit_the_settings_are_refused():
    with pytest.raises(UserError, match="2 dimensions and 1 channels; expected 3 and 1"):
        Separation(TINY.model_copy(update={"dims": 3}), PAIRS, seed=0)


@pytest.mark.parametrize(
    "values",
    [{"batch": 7}, {"crop_scale": (0.5, 0.2)}, {"view_size": (3, 3, 3)}, {"flips": (0,)}],
)
def test_settings_that_make_no_sense_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        SepCLRSettings(**values)


def test_an_epoch_drops_its_last_batch():
    assert SepCLRSettings(batch=512, epochs=250).steps_for(50_000) == 250 * 97
    assert SepCLRSettings(batch=512, epochs=3).steps_for(20) == 3
    assert SepCLRSettings(steps=9).steps_for(50_000) == 9


def test_volumes_are_separated_too():
    volumes = torch.rand(20, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.2
    pairs = implanted_lesions(volumes, radius=(2, 3))
    settings = TINY.model_copy(update={"dims": 3, "steps": 2, "batch": 8})
    run = Separation(settings, pairs, seed=0)
    run.run()
    spaces = represent(run.encoders, pairs)
    assert spaces["common"].shape == (20, 4)
    assert np.isfinite(spaces["salient"]).all()


def test_the_two_encoders_share_nothing():
    encoders = make_encoders(TINY, 0)
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    out = encoders(x)
    grads = torch.autograd.grad(
        out.salient_head.sum(), list(encoders.common.parameters()), allow_unused=True
    )
    assert all(g is None for g in grads)
    assert not torch.allclose(out.common, out.salient)
    torch.rand(3)  # chance from elsewhere has no say
    assert torch.equal(make_encoders(TINY, 0)(x).common_head, out.common_head)
    assert not torch.equal(make_encoders(TINY, 1)(x).common_head, out.common_head)


def test_the_stems_stride_is_the_settings():
    x = torch.rand(2, 1, 8, 12, 8, generator=torch.Generator().manual_seed(0))
    for stride, sides in ((1, (8, 12, 8)), (2, (4, 6, 4))):
        settings = TINY.model_copy(update={"dims": 3, "stem_stride": stride})
        encoders = make_encoders(settings, 0)
        for encoder in (encoders.common, encoders.salient):
            assert encoder.body.conv1(x).shape[2:] == sides


class TestMethods:
    def test_each_leaves_out_what_its_name_says(self):
        changed = {name: method_settings(name, TINY) for name in METHODS}
        assert changed["SepCLR"] == TINY
        assert changed["no joint"].joint == 0
        assert changed["no infoless"].infoless == 0
        assert changed["no s'-uniformity"].salient_uniformity == 0
        assert not changed["no s' in uniformity"].repel_constant
        assert changed["SimCLR"].objective == "simclr"
        with pytest.raises(UserError, match="method no: unknown; expected one of SepCLR"):
            method_settings("no", TINY)

    def test_simclr_knows_of_no_targets(self):
        task = Task(make_encoders(TINY, 0), TINY.model_copy(update={"objective": "simclr"}))
        x = PAIRS.images[:8]
        seeds = [torch.Generator().manual_seed(0) for _ in range(2)]
        a = task(x, torch.zeros(8, dtype=torch.bool), seeds[0])
        b = task(x, torch.ones(8, dtype=torch.bool), seeds[1])
        assert a["total"] == b["total"]

    def test_simclr_is_one_loss_a_space(self):
        g = torch.Generator().manual_seed(0)
        a, b, c, d = (torch.randn(5, 3, generator=g, requires_grad=True) for _ in range(4))
        terms = simclr((a, b), (c, d))
        (grad,) = torch.autograd.grad(terms["common_nt_xent"], a, retain_graph=True)
        assert grad.abs().min() > 0
        z = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
        s = z @ z.T / 0.5
        s.fill_diagonal_(-torch.inf)
        want = torch.nn.functional.cross_entropy(s, torch.arange(10).roll(5))
        torch.testing.assert_close(terms["common_nt_xent"], want)


def test_shape_is_salient_and_texture_is_common():
    train, test = shapes_on_textures(320, 1), shapes_on_textures(320, 2)
    settings = SepCLRSettings(
        channels=1, widths=(8, 8, 16, 16), blocks=(1, 1, 1, 1), common_dims=8, salient_dims=4,
        batch=64, steps=100, learning_rate=3e-3, crop_scale=(0.6, 1.0),
    )  # fmt: skip
    run = Separation(settings, train, seed=0)
    run.run()
    cells = probe_spaces(
        train, represent(run.encoders, train), test, represent(run.encoders, test),
        salient=["shape"], common=["texture"],
    )  # fmt: skip
    value = {(c.space, c.attribute): c.value for c in cells}
    size = np.linalg.norm(represent(run.encoders, test, head=True)["salient"], axis=1)
    is_target = test.is_target.numpy()
    assert size[~is_target].mean() < 0.5 * size[is_target].mean()
    assert value["salient", "shape"] > 0.85
    assert value["common", "texture"] > 0.85
    # Chance is a half. Without the joint entropy the common space tells nearly every shape.
    assert value["common", "shape"] < 0.75
    assert value["salient", "texture"] < 0.7
