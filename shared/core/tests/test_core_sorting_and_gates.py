"""GroCo, SimLAP and AMCL against their definitions written out pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, normalize, softplus

import nearfar
import nearfar.functional as F
from nearfar.temperature import AnchorTemperature


def rows(n, d, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g, dtype=torch.float64).requires_grad_()


def sorted_top(values, steepness):
    """Where each of a list of values ends in a relaxed odd-even sort; the share at the top."""
    n, values = len(values), list(values)
    place = [[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)]
    for turn in range(n):
        for low in range(turn % 2, n - 1, 2):
            a, b = values[low], values[low + 1]
            keep = math.atan(steepness * (b - a)) / math.pi + 0.5
            values[low], values[low + 1] = (
                keep * a + (1 - keep) * b,
                (1 - keep) * a + keep * b,
            )
            for row in place:
                p, q = row[low], row[low + 1]
                row[low], row[low + 1] = keep * p + (1 - keep) * q, (1 - keep) * p + keep * q
    return [row[-1] for row in place]


class TestGroCo:
    @pytest.mark.parametrize(("n", "hardest"), [(2, 1), (4, 3), (7, 5), (3, 10)])
    def test_equals_its_definition(self, n, hardest):
        a, b = rows(n, 5), rows(n, 5, 1)
        got = F.groco(a, b, hardest=hardest, steepness=3.0, reduction="none")
        z = normalize(torch.cat([a, b])).detach()
        for i in range(2 * n):
            others = [j for j in range(2 * n) if j % n != i % n]
            far = sorted(float(z[i] @ z[j]) for j in others)[-hardest:]
            top = sorted_top([*far, float(z[i] @ z[(i + n) % (2 * n)])], 3.0)
            target = torch.zeros(len(top))
            target[-1] = 1
            assert got[i].item() == pytest.approx(
                binary_cross_entropy(torch.tensor(top), target).item(), rel=1e-5
            )

    def test_gradients_pass_to_the_anchor_alone(self):
        a, b = rows(6, 4), rows(6, 4, 1)
        losses = F.groco(a, b, hardest=3, reduction="none")
        da, db = torch.autograd.grad(losses[2], (a, b))
        assert da[2].abs().max() > 0
        assert db.abs().max() == 0
        da[2] = 0
        assert da.abs().max() == 0

    def test_one_sample_has_no_loss(self):
        a = rows(1, 4)
        loss = F.groco(a, a * 2)
        assert loss.item() == 0
        assert torch.autograd.grad(loss, a)[0].eq(0).all()

    def test_training_puts_the_positive_on_top(self):
        z = torch.nn.Parameter(rows(2 * 16, 8).detach().float())
        optimizer = torch.optim.Adam([z], lr=0.05)
        before = F.groco(*z.chunk(2)).item()
        for _ in range(60):
            optimizer.zero_grad()
            F.groco(*z.chunk(2)).backward()
            optimizer.step()
        a, b = normalize(z.detach()).chunk(2)
        assert F.groco(*z.chunk(2)).item() < before
        assert ((a @ b.T).argmax(1) == torch.arange(16)).float().mean() > 0.9

    def test_bad_settings(self):
        a = rows(3, 4)
        with pytest.raises(ValueError, match="view_b has 2 rows; expected 3"):
            F.groco(a, a[:2])
        with pytest.raises(ValueError, match="hardest is 0"):
            F.groco(a, a, hardest=0)


class TestSimLAP:
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3, 0])
    pairs = torch.tensor([[0, 1], [2, 2], [3, 0], [1, 2], [3, 3], [7, 1]])

    def oracle(self, x, gates, t):
        losses = []
        for (u, v), gate in zip(self.pairs.tolist(), gates, strict=True):
            z = normalize(x * gate)
            s = z @ z.T / t
            negative = [j for j, y in enumerate(self.labels) if y not in (u, v)]
            terms = [
                softplus(s[i, negative].logsumexp(0) - s[i, p])
                for i in range(len(x))
                for p in range(len(x))
                if self.labels[i] == u and self.labels[p] == v and i != p
            ]
            if terms:
                losses.append(torch.stack(terms).mean())
        assert len(losses) == 4  # (3, 3) has no second row, (7, 1) no anchor
        return torch.stack(losses).mean()

    @pytest.mark.parametrize("path", ["reference", "streaming"])
    def test_equals_its_definition(self, path):
        x, gates = rows(9, 6), rows(6, 6, 1).detach().sigmoid().requires_grad_()
        t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        want = self.oracle(x, gates, t)
        got = F.sim_lap(x, self.labels, self.pairs, gates, temperature=t, path=path)
        assert torch.allclose(got, want, rtol=1e-10)
        for a, b in zip(
            torch.autograd.grad(got, (x, gates, t)), torch.autograd.grad(want, (x, gates, t)),
            strict=True,
        ):  # fmt: skip
            assert torch.allclose(a, b, rtol=1e-8, atol=1e-10)

    def test_nothing_to_compare_has_no_loss(self):
        x = rows(3, 4)
        loss = F.sim_lap(x, torch.tensor([0, 0, 1]), torch.tensor([[0, 1]]), torch.ones(1, 4))
        assert loss.item() == 0  # no row of neither class

    def test_a_gate_learns_the_columns_that_two_classes_share(self):
        # Classes 0 and 1 agree in the first column, 0 and 2 in the second; the third is of no use.
        g = torch.Generator().manual_seed(0)
        labels = torch.arange(90) % 3
        x = torch.randn(90, 3, generator=g) * 0.3
        x[:, 0] += torch.where(labels == 2, -1.0, 1.0)
        x[:, 1] += torch.where(labels == 1, -1.0, 1.0)
        gate = nearfar.ConditionalGate(3, 3, label_width=16)
        optimizer = torch.optim.Adam(gate.parameters(), lr=0.01)
        pairs = torch.tensor([[0, 1], [0, 2]])
        for _ in range(150):
            optimizer.zero_grad()
            F.sim_lap(x, labels, pairs, gate(pairs)).backward()
            optimizer.step()
        first, second = gate(pairs).detach()
        assert first.argmax() == 0
        assert second.argmax() == 1
        assert torch.equal(gate(pairs.flip(1)), gate(pairs))

    def test_bad_shapes(self):
        x = rows(9, 6)
        with pytest.raises(ValueError, match=r"gates has shape \(2, 6\); expected \(6, 6\)"):
            F.sim_lap(x, self.labels, self.pairs, torch.ones(2, 6))
        with pytest.raises(ValueError, match=r"class_pairs is torch.int64 of shape \(12,\)"):
            F.sim_lap(x, self.labels, self.pairs.flatten(), torch.ones(6, 6))


class TestAMCL:
    def test_is_the_sum_of_its_heads(self):
        torch.manual_seed(0)
        loss = nearfar.AMCL(6, 4, heads=2, beta=0.3).double()
        a, b = rows(5, 6), rows(5, 6, 1)
        want = 0
        for head, temperature in zip(loss.heads, loss.temperatures, strict=True):
            u, v = head(a), head(b)
            tau = temperature(torch.cat([u, v]))
            want = want + F.nt_xent(u, v, temperature=tau)
            want = want + 0.3 * (4 / 2 * tau.log() + 1 / tau).mean()
        assert torch.allclose(loss(a, b), want)

    def test_the_temperature_is_the_anchors_and_learned(self):
        temperature = AnchorTemperature(4)
        tau = temperature(torch.randn(7, 4) * 5)
        assert tau.shape == (7,)
        assert len(tau.unique()) == 7
        assert 0 < tau.min() <= tau.max() < 2
        loss = nearfar.AMCL(4, heads=1)
        loss(torch.randn(6, 4), torch.randn(6, 4)).backward()
        assert all(p.grad is not None for p in loss.parameters())
