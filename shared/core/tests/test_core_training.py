"""Gradient caching, samplers, diagnostics."""

from __future__ import annotations

import copy
import math
from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import nearfar
from nearfar.diagnostics import diagnose, effective_rank, tolerance, warn_at_chance
from nearfar.grad_cache import grad_cache_step
from nearfar.samplers import ClassBalancedBatches, SameClusterBatches


class TestGradCache:
    @pytest.mark.parametrize("chunk", [1, 3, 100])
    def test_equals_the_whole_batch(self, chunk):
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4)).double()
        loss = nearfar.NTXent(temperature=nn.Parameter(torch.tensor(0.3, dtype=torch.float64)))
        a, b = torch.randn(2, 10, 5, dtype=torch.float64)
        other, other_loss = copy.deepcopy(encoder), copy.deepcopy(loss)
        want = other_loss(other(a), other(b))
        want.backward()
        got = grad_cache_step([encoder, encoder], [a, b], loss, chunk=chunk)
        assert torch.isclose(got, want)
        pairs = [*zip(encoder.parameters(), other.parameters(), strict=True),
                 (loss.temperature, other_loss.temperature)]  # fmt: skip
        for mine, theirs in pairs:
            assert torch.allclose(mine.grad, theirs.grad, atol=1e-12)

    def test_dropout_is_replayed(self):
        """The graph of the second pass has the masks of the first: gradients fit the value."""
        encoder = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 3)).double()
        x = torch.randn(6, 4, dtype=torch.float64)
        seen = []
        hook = encoder[1].register_forward_hook(lambda module, i, o: seen.append(o.detach()))
        torch.manual_seed(7)
        grad_cache_step([encoder], [x], lambda z: z.square().sum(), chunk=2)
        hook.remove()
        for first, second in zip(seen[:3], seen[3:], strict=True):
            assert torch.equal(first == 0, second == 0)
        after = torch.rand(3)
        torch.manual_seed(7)
        for part in x.split(2):
            encoder(part)
        assert torch.equal(after, torch.rand(3))  # chance goes on as after one pass

    def test_mistakes(self):
        with pytest.raises(ValueError, match="1 encoders for 2 inputs"):
            grad_cache_step([nn.Identity()], [torch.ones(2, 2)] * 2, nearfar.NTXent(), chunk=1)
        with pytest.raises(ValueError, match="chunk is 0"):
            grad_cache_step([nn.Identity()], [torch.ones(2, 2)], torch.sum, chunk=0)


class TestSamplers:
    @given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(2, 9))
    def test_a_batch_is_of_one_cell_and_every_row_comes_once(self, cells, batch):
        codes = torch.tensor(cells)
        sampler = SameClusterBatches(codes, batch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        for rows in batches:
            assert len(set(codes[rows].tolist())) == 1
            assert 2 <= len(rows) <= max(batch, 3)
        alone = {c for c in cells if cells.count(c) == 1}
        expected = sorted(i for i, c in enumerate(cells) if c not in alone)
        assert sorted(chain.from_iterable(batches)) == expected

    def test_cells_of_several_stages_agree_in_all(self):
        stages = torch.tensor([[0, 0], [0, 1], [1, 0], [0, 0], [0, 1], [1, 0]])
        assert sorted(map(sorted, SameClusterBatches(stages, 4))) == [[0, 3], [1, 4], [2, 5]]

    def test_an_epoch_has_its_own_order(self):
        sampler = SameClusterBatches(torch.zeros(50, dtype=torch.int64), 5)
        first = list(sampler)
        assert first == list(sampler)
        sampler.set_epoch(1)
        assert first != list(sampler)

    def test_classes_come_alike_however_rare(self):
        labels = torch.tensor([0] * 90 + [1] * 9 + [2] * 3 + [-1] * 5)
        sampler = ClassBalancedBatches(labels, classes=3, rows_each=4, batches=50)
        counts = torch.zeros(3)
        for rows in sampler:
            assert torch.bincount(labels[rows]).tolist() == [4, 4, 4]
            counts += torch.bincount(labels[rows])
        assert counts.tolist() == [200, 200, 200]
        seen = {row for rows in sampler for row in rows if labels[row] == 0}
        assert len(seen) == 90  # all rows before any twice

    def test_mistakes(self):
        with pytest.raises(ValueError, match="classes 3, rows_each 1; expected 1 to 2 classes"):
            ClassBalancedBatches(torch.tensor([0, 1]), classes=3, rows_each=1)
        with pytest.raises(ValueError, match="batch is 1"):
            SameClusterBatches(torch.tensor([0, 1]), 1)


class TestDiagnostics:
    def test_numbers_by_their_definitions(self):
        torch.manual_seed(0)
        q, k = (nn.functional.normalize(torch.randn(9, 5).double(), dim=1) for _ in "qk")
        d = diagnose(q, k, temperature=0.3)
        s = q @ k.T / 0.3
        own = torch.arange(9)
        p = s.masked_fill(torch.eye(9, dtype=torch.bool), -torch.inf).softmax(1)
        entropy = -(p * p.clamp(min=1e-300).log()).sum(1)
        want = {
            "loss": nn.functional.cross_entropy(s, own),
            "chance": math.log(9),
            "alignment": (q - k).square().sum(1).mean(),
            "uniformity": (torch.pdist(q).square() * -2).exp().mean().log(),
            "entropy": entropy.mean(),
            "effective_negatives": entropy.exp().mean(),
            "positive_share": (1 - s.softmax(1)[own, own]).mean(),
            "accuracy": (s.argmax(1) == own).double().mean(),
        }
        for name, value in want.items():
            assert d.as_dict()[name] == pytest.approx(float(value), abs=1e-9), name

    def test_a_collapse_has_rank_one(self):
        assert effective_rank(torch.ones(8, 4)) == pytest.approx(1.0)
        assert diagnose(torch.ones(8, 4), torch.ones(8, 4)).loss == pytest.approx(math.log(8))

    def test_tolerance(self):
        rows, labels = torch.randn(7, 3), torch.tensor([5, 5, 9, 9, 9, 1, 5])
        x = nn.functional.normalize(rows, dim=1)
        pairs = [(x[i] @ x[j]) for i in range(7) for j in range(7) if labels[i] == labels[j]]
        assert tolerance(rows, labels) == pytest.approx(float(torch.stack(pairs).mean()), abs=1e-6)

    def test_a_loss_at_chance_is_told(self):
        with pytest.warns(UserWarning, match="chance over 128 candidates is 4.852"):
            assert warn_at_chance(math.log(128) - 0.001, 128)
        assert not warn_at_chance(3.0, 128)
