"""What is learnt without labels: sampling, device selection, the loss's sign, every task."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nearfar_har.augment import jitter, magnitude, permute_segments, rotate, time_warp
from nearfar_har.encoder import ENCODERS, make_encoder
from nearfar_har.pretext import PRETEXTS, ColloSSL
from nearfar_har.sampling import asynchronous, subject_batches
from nearfar_har.selection import choose, device_distances
from nearfar_kit.errors import UserError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(rows: int = 12, devices: int = 3, samples: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    signals = torch.randn(rows, devices, 6, samples, generator=generator())
    return signals, torch.ones(rows, devices, dtype=torch.bool)


class TestSampling:
    @given(rows=st.integers(2, 60), count=st.integers(1, 5), seed=st.integers(0, 99))
    def test_no_row_keeps_its_moment(self, rows, count, seed):
        for order in asynchronous(rows, count, generator(seed)):
            assert sorted(order.tolist()) == list(range(rows))
            assert (order != torch.arange(rows)).all()

    @settings(deadline=None)
    @given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), size=st.integers(2, 16))
    def test_a_batch_is_one_subjects_and_an_epoch_has_every_window_once(self, sizes, size):
        subject = np.repeat(np.arange(len(sizes)), sizes)
        usable = [n for n in sizes if n >= 2]
        if not usable:
            with pytest.raises(UserError, match="no subject has two"):
                next(subject_batches(subject, size, 1, np.random.default_rng(0)))
            return
        epoch = sum(max(1, round(n / size)) for n in usable)
        batches = list(subject_batches(subject, size, epoch, np.random.default_rng(0)))
        assert all(len(np.unique(subject[rows])) == 1 for rows in batches)
        assert sorted(np.concatenate(batches)) == sorted(
            np.flatnonzero(np.isin(subject, np.flatnonzero(np.array(sizes) >= 2)))
        )


class TestSelection:
    def test_devices_that_move_alike_are_near(self):
        g = generator()
        quiet = 1 + 0.05 * torch.randn(64, 2, 6, 50, generator=g)
        wild = 1 + 1.0 * torch.randn(64, 1, 6, 50, generator=g)
        d = device_distances(torch.cat([quiet, wild], 1), torch.ones(64, 3, dtype=torch.bool))
        assert torch.equal(d, d.T)
        assert d.diagonal().eq(0).all()
        assert d[0, 1] < d[0, 2]
        assert choose(0, d, "closest").positives == (1,)

    def test_equals_the_sum_over_pairs(self):
        signals, present = batch(6, 2)
        norms = signals[:, :, :3].norm(dim=2) / 3
        total = 0.0
        for bandwidth in (1e-4, 1e-3, 1e-2, 0.1, 1, 5, 10, 15, 20, 25, 30, 100):

            def mean(a, b, bandwidth=bandwidth):
                pairs = [(u - v).square().sum() for u in norms[:, a] for v in norms[:, b]]
                return torch.stack([torch.exp(-p / (2 * bandwidth)) for p in pairs]).mean()

            total += mean(0, 0) + mean(1, 1) - 2 * mean(0, 1)
        assert device_distances(signals, present)[0, 1].item() == pytest.approx(
            float(total), rel=1e-4
        )

    def test_an_absent_device_is_neither_positive_nor_negative(self):
        signals, present = batch(12, 4)
        present[:, 2] = False
        d = device_distances(signals, present)
        assert d[0, 2].isinf()
        for policy in ("closest", "hard_negatives", "random", "all"):
            chosen = choose(0, d, policy, generator())
            assert 2 not in chosen.positives + chosen.negatives
            assert chosen.negative_weights.max() == 1
        present[:, 1:] = False
        assert choose(0, device_distances(signals, present)).positives == ()

    def test_nearer_negatives_weigh_more(self):
        d = torch.tensor([[0, 0.1, 0.2, 0.4], [0.1, 0, 1, 1], [0.2, 1, 0, 1], [0.4, 1, 1, 0]])
        chosen = choose(0, d, "closest")
        assert chosen.negatives == (1, 2, 3)  # the positive is a negative too, at other moments
        assert chosen.negative_weights.tolist() == pytest.approx([1, 0.5, 0.25])
        assert choose(0, d, "hard_negatives").negatives == (2, 3)


class _Given(nn.Module):
    """An encoder that puts out what it is told: [devices * B, D]."""

    features = 2

    def __init__(self, z):
        super().__init__()
        self.z = z

    def forward(self, x):
        return self.z


class TestLoss:
    @pytest.mark.parametrize("negatives", ["permuted", "in_batch", "both"])
    def test_near_together_is_a_small_loss(self, negatives):
        # Both devices agree at each moment, and moments are orthogonal: the released code, whose
        # sign is reversed, calls this the worst there is.
        z = torch.eye(2).repeat(2, 1)  # 2 devices x 2 moments
        signals, present = batch(2, 2)
        options = {"projection": 0, "rotation": 0.0, "negatives": negatives, "temperature": 0.05}
        task = ColloSSL(_Given(z), policy="closest", **options)
        assert task(signals, present, generator()) < 1e-3
        # Devices that agree at other moments than their own: as bad as can be.
        swapped = ColloSSL(_Given(torch.cat([torch.eye(2), torch.eye(2).flip(0)])), **options)
        assert swapped(signals, present, generator()) > 10

    def test_absent_windows_stand_in_no_pair(self):
        signals, present = batch(8, 3)
        present[5:, 1] = False
        encoder = make_encoder("residual", 50).eval()
        task = ColloSSL(encoder, rotation=0.0, weighted=False)
        loss = task(signals, present, generator())
        changed = signals.clone()
        changed[5:, 1] = 100.0
        assert torch.allclose(task(changed, present, generator()), loss)
        changed[:5, 1] = 100.0
        assert not torch.allclose(task(changed, present, generator()), loss)

    def test_a_lone_device_teaches_nothing(self):
        signals, present = batch(8, 1)
        task = ColloSSL(make_encoder("residual", 50))
        loss = task(signals, present, generator())
        loss.backward()
        assert loss == 0


@pytest.mark.parametrize("name", PRETEXTS)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("samples", [50, 47])
def test_every_task_learns_from_a_batch(name, encoder, samples):
    torch.manual_seed(0)
    task = PRETEXTS[name](make_encoder(encoder, samples))
    # A wave with a frequency a row, at a phase a device: something to learn for each task.
    t = torch.arange(samples) / 25
    pace = torch.linspace(0.5, 3, 24)[:, None, None, None]
    phase = torch.arange(3)[:, None, None] + torch.arange(6)[:, None] / 3
    signals = torch.sin(2 * torch.pi * pace * t + phase)
    present = torch.ones(24, 3, dtype=torch.bool)
    present[0, 0] = False
    optimizer = torch.optim.Adam(task.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        loss = task(signals, present, generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-8:]) < np.mean(losses[:8])
    touched = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in encoder_of(task)]
    assert all(touched)


def encoder_of(task):
    # A bias before batch normalisation has no gradient but rounding.
    return [p for p in task.encoder.parameters() if p.ndim > 1]


@pytest.mark.parametrize("name", PRETEXTS)
def test_all_chance_comes_from_the_generator(name):
    torch.manual_seed(0)
    task = PRETEXTS[name](make_encoder("residual", 50))
    signals, present = batch()
    torch.manual_seed(1)
    first = task(signals, present, generator(3))
    torch.manual_seed(2)
    assert torch.equal(task(signals, present, generator(3)), first)


def test_windows_too_short_for_an_encoder():
    with pytest.raises(
        UserError, match=r"45 samples are too short .* at least 46 .* or .* residual"
    ):
        make_encoder("transform_net", 45)


class TestAugmentations:
    def test_a_rotation_keeps_lengths_and_turns_both_sensors_alike(self):
        x = torch.randn(5, 6, 20, generator=generator())
        x[:, 3:] = x[:, :3]
        turned = rotate(x, 1.0, generator())
        assert torch.allclose(turned[:, :3].norm(dim=1), x[:, :3].norm(dim=1), atol=1e-5)
        assert torch.allclose(turned[:, :3], turned[:, 3:], atol=1e-5)
        assert (turned - x).abs().amax((1, 2)).min() > 0.01  # each window its own turn

    def test_segments_are_moved_whole(self):
        x = torch.arange(20.0).expand(3, 6, 20)
        moved = permute_segments(x, 4, generator())
        assert torch.equal(moved.sort(-1).values, x)
        parts = moved.unflatten(-1, (4, 5))
        assert (parts.diff(dim=-1) == 1).all()

    def test_warped_time_runs_forward_and_keeps_its_ends(self):
        x = torch.linspace(0, 1, 50).expand(8, 6, 50)
        warped = time_warp(x, 0.8, generator())
        assert (warped.diff(dim=-1) >= -1e-6).all()
        assert torch.allclose(warped[..., [0, -1]], x[..., [0, -1]], atol=1e-5)
        assert (warped - x).abs().amax() > 0.01

    def test_noise_and_scale_are_as_large_as_said(self):
        x = torch.ones(400, 6, 20)
        assert jitter(x, 0.1, generator()).std().item() == pytest.approx(0.1, rel=0.05)
        factor = magnitude(x, 0.2, generator())
        assert factor.std(dim=(1, 2)).max() < 1e-6
        assert factor.mean((1, 2)).std().item() == pytest.approx(0.2, rel=0.1)
