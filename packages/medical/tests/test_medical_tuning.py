"""Augmentation, fine-tuning and segmenting of prepared frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nearfar_kit.errors import UserError
from nearfar_medical.augment import cropped, deformed, intensities, mixed
from nearfar_medical.finetune import Finetuning
from nearfar_medical.frames import Frame, load_frames, save_frames
from nearfar_medical.network import Network
from nearfar_medical.segment import dice_of, mean_dice, probabilities, segment_frame
from nearfar_medical.settings import MedicalSettings

G = torch.Generator


def seeded(seed=0):
    return G().manual_seed(seed)


class TestAugmentation:
    def test_each_image_has_a_factor_of_its_own(self):
        # The released code drew one for the whole batch.
        x = torch.rand(1, 1, 8, 8).expand(16, 1, 8, 8) * 0.5 + 0.25
        y = intensities(x, seeded())
        assert len({round(float(v), 6) for v in y.flatten(1).mean(1)}) == 16
        assert len({round(float(v), 6) for v in y.flatten(1).std(1)}) == 16
        assert ((y.flatten(1).mean(1) - x.flatten(1).mean(1)).abs() <= 0.31).all()
        assert torch.equal(intensities(x, seeded(3)), intensities(x, seeded(3)))

    @pytest.mark.parametrize("shape", [(64, 1, 24, 24), (16, 2, 8, 12, 12)])
    def test_a_crop_lies_inside_and_keeps_the_size(self, shape):
        y = cropped(torch.ones(shape), seeded(), share=0.5)
        assert y.shape == shape
        assert torch.allclose(y, torch.ones(shape))  # nothing from outside, which is 0

    def test_a_crop_shows_its_share(self):
        ramp = torch.linspace(0, 1, 64).expand(200, 1, 64, 64)
        y = cropped(ramp, seeded(), share=0.25)
        width = y[:, 0, 0, -1] - y[:, 0, 0, 0]
        assert torch.allclose(width, torch.full((200,), 0.25), atol=0.02)
        starts = y[:, 0, 0, 0]
        assert starts.min() < 0.05
        assert starts.max() > 0.7

    @pytest.mark.parametrize("dims", [2, 3])
    def test_a_mask_moves_with_its_image(self, dims):
        side = (32,) * dims
        mask = torch.zeros(40, *side, dtype=torch.long)
        mask[(slice(None), *(slice(8, 20),) * dims)] = 2
        image = (mask == 2)[:, None].float()
        x, y = deformed(image, mask, seeded())
        assert set(y.unique().tolist()) <= {0, 2}
        assert y.dtype == mask.dtype
        overlap = ((x[:, 0] > 0.5) == (y == 2)).float().flatten(1).mean(1)
        assert overlap.min() > 0.97
        changed = (y != mask).flatten(1).any(1)
        assert 0.5 < changed.float().mean() < 1.0  # some are left alone

    def test_left_and_right_stay_where_they_have_a_meaning(self):
        mask = torch.zeros(300, 24, 24, dtype=torch.long)
        mask[:, 10:14, 2:8] = 1
        _, y = deformed(mask[:, None].float(), mask, seeded(), flip=False, elastic=0.0)
        assert (y[:, :, 12:] == 0).all()
        _, z = deformed(mask[:, None].float(), mask, seeded(), flip=True, elastic=0.0)
        assert (z[:, :, 12:] == 1).flatten(1).any(1).any()

    def test_mixup_mixes_targets_as_it_mixes_images(self):
        image = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 4, 4)
        target = torch.zeros(8, 8, 4, 4)
        target[range(8), range(8)] = 1
        x, y = mixed(image, target, seeded())
        assert torch.allclose(y.sum(1), torch.ones(8, 4, 4))
        assert torch.allclose(x[:, 0], (y * torch.arange(8.0).view(1, 8, 1, 1)).sum(1), atol=1e-5)
        assert (y.amax(1) < 1).any()


def squares(count, seed=0, side=32, slices=6):
    """Frames with a bright square of class 1 and a dim one of class 2."""
    rng, made = np.random.default_rng(seed), []
    for n in range(count):
        image = rng.normal(0, 0.05, (1, slices, side, side)).astype(np.float32)
        mask = np.zeros((slices, side, side), np.uint8)
        for s in range(slices):
            for c, bright in ((1, 1.0), (2, 0.5)):
                i, j = rng.integers(2, side - 10), 2 + 14 * (c - 1)
                mask[s, i : i + 8, j : j + 10] = c
                image[0, s, i : i + 8, j : j + 10] += bright
        made.append(Frame(f"{seed}-{n}", f"{seed}-{n}", image, mask))
    return made


SETTINGS = MedicalSettings(size=(32, 32), widths=(8, 16, 16), local_depth=1, tuned_steps=200,
                           tuned_batch=8, validate_every=20, deform=False,
                           tuned_learning_rate=3e-3)  # fmt: skip


def tuning_of(settings=SETTINGS, dims=2):
    torch.manual_seed(0)
    network = Network(dims, 1, 3, widths=settings.widths)
    return Finetuning(network, squares(2), squares(1, 1), settings, seed=0)


class TestFinetuning:
    def test_it_learns_from_two_volumes(self):
        tuning = tuning_of()
        tuning.run()
        scores = [
            mean_dice(segment_frame(tuning.network, f, SETTINGS), f.mask, 3) for f in squares(2, 2)
        ]
        assert min(scores) > 0.8

    def test_the_best_weights_on_validation_are_kept(self):
        tuning = tuning_of()
        seen = []
        while tuning.done < SETTINGS.tuned_steps:
            tuning.step()
            if tuning.done % 20 == 0:
                f = tuning.validation[0]
                seen.append(mean_dice(segment_frame(tuning.network, f, SETTINGS), f.mask, 3))
        with torch.no_grad():  # what comes after the best is spoiled
            for parameter in tuning.network.parameters():
                parameter.mul_(0)
        tuning.finish()
        f = tuning.validation[0]
        kept = mean_dice(segment_frame(tuning.network, f, SETTINGS), f.mask, 3)
        assert kept == tuning.best == max(seen)

    def test_a_resumed_run_is_the_same(self):
        whole = tuning_of()
        for _ in range(30):
            whole.step()
        half = tuning_of()
        for _ in range(15):
            half.step()
        other = tuning_of()
        other.load_state(half.state())
        for _ in range(15):
            other.step()
        for a, b in zip(whole.network.parameters(), other.network.parameters(), strict=True):
            assert torch.equal(a, b)
        assert whole.best == other.best

    @pytest.mark.parametrize("loss", ["dice", "dice_ce"])
    @pytest.mark.parametrize("mixup", [False, True])
    def test_losses_and_mixup_in_two_and_three_dimensions(self, loss, mixup):
        for dims in (2, 3):
            settings = SETTINGS.model_copy(
                update={"loss": loss, "mixup": mixup, "dims": dims, "depth": 4, "deform": True}
            )
            tuning = tuning_of(settings, dims)
            assert np.isfinite(tuning.step())

    def test_an_encoder_that_was_pretrained_moves_less(self):
        moved = []
        for pretrained in (False, True):
            torch.manual_seed(0)
            network = Network(2, 1, 3, widths=SETTINGS.widths)
            before = [p.detach().clone() for p in network.parameters()]
            up = set(network.up_to(0))
            Finetuning(
                network, squares(2), squares(1, 1), SETTINGS, seed=0, pretrained=pretrained
            ).step()
            moved.append([
                max((p - q).abs().max().item()
                    for p, q in zip(network.parameters(), before, strict=True) if (p in up) == own)
                for own in (True, False)
            ])  # fmt: skip
        whole = SETTINGS.tuned_learning_rate  # Adam's first step is the rate, whatever the gradient
        assert moved[0] == pytest.approx([whole, whole], rel=1e-2)
        assert moved[1] == pytest.approx([whole * SETTINGS.encoder_share, whole], rel=1e-2)

    def test_the_rate_falls_to_nothing(self):
        tuning = tuning_of(SETTINGS.model_copy(update={"tuned_steps": 4}))
        rates = []
        for _ in range(4):
            tuning.step()
            rates.append(tuning.optimizer.param_groups[1]["lr"] / SETTINGS.tuned_learning_rate)
        assert rates == pytest.approx([1, 0.853553, 0.5, 0.146447], rel=1e-5)

    def test_intensities_differ_from_step_to_step(self):
        changed = [
            tuning_of(SETTINGS.model_copy(update={"intensities": on})).step()
            for on in (False, True)
        ]
        assert changed[0] != changed[1]

    def test_without_labelled_volumes(self):
        with pytest.raises(UserError, match="no validation volume has a mask"):
            Finetuning(Network(2, 1, 3, widths=(4, 8, 8)), squares(1), [], SETTINGS, seed=0)

    def test_a_rate_too_high_is_told(self):
        settings = SETTINGS.model_copy(update={"tuned_learning_rate": 1e30, "tuned_steps": 20})
        network = Network(2, 1, 3, widths=(4, 8, 8))
        with pytest.raises(UserError, match=r"^training, step \d+: .*; expected finite numbers"):
            Finetuning(network, squares(2), squares(1, 1), settings, seed=0).run()


class TestSegmenting:
    def test_slices_one_by_one(self):
        network = Network(2, 1, 3, widths=(4, 8, 8)).eval()
        image = np.random.default_rng(0).normal(size=(1, 70, 32, 32)).astype(np.float32)
        p = probabilities(network, image, SETTINGS)
        assert p.shape == (3, 70, 32, 32)
        with torch.no_grad():
            one = network(torch.from_numpy(image[:, 41][None])).softmax(1)[0].numpy()
        assert np.allclose(p[:, 41], one, atol=1e-5)

    def test_patches_by_a_sliding_window(self):
        settings = SETTINGS.model_copy(update={"dims": 3, "depth": 8})
        network = Network(3, 1, 3, widths=(4, 8, 8))
        for slices in (5, 8, 19):  # fewer than a patch, a patch, more
            p = probabilities(network, np.zeros((1, slices, 32, 32), np.float32), settings)
            assert p.shape == (3, slices, 32, 32)
            assert np.allclose(p.sum(0), 1, atol=1e-5)

    def test_dice(self):
        truth = np.array([0, 1, 1, 0, 0, 0])
        assert dice_of(np.array([0, 1, 0, 0, 0, 0]), truth, 3)[0] == pytest.approx(2 / 3)
        assert np.isnan(dice_of(np.array([0, 1, 0, 0, 0, 0]), truth, 3)[1])
        assert dice_of(np.array([0, 1, 1, 2, 0, 0]), truth, 3) == [1.0, 0.0]
        assert mean_dice(np.array([0, 1, 1, 0, 0, 0]), truth, 3) == 1.0


def test_frames_survive_a_file(tmp_path):
    frames = [*squares(2), Frame("é", "s", np.ones((2, 3, 4, 4), np.float32))]
    save_frames(tmp_path / "f.safetensors", frames)
    for a, b in zip(frames, load_frames(tmp_path / "f.safetensors"), strict=True):
        assert (a.name, a.subject) == (b.name, b.subject)
        assert np.array_equal(a.image, b.image)
        assert (a.mask is None) == (b.mask is None)
        assert a.mask is None or np.array_equal(a.mask, b.mask)
