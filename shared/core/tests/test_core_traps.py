"""What others fell into: each was seen to fail when the code was broken in its way."""

from __future__ import annotations

import pytest
import torch
from core_cases import CASES
from torch import nn
from torch.nn.functional import normalize

import nearfar
import nearfar.functional as F
from nearfar import streaming

EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def rows(n, d, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g, dtype=torch.float64).to(dtype)


@EVERY
def test_autocast_does_not_reach_the_scores(case):
    """bf16 products of scores at temperature 0.05 would be 0.1 off."""
    inputs = [
        x.float().requires_grad_() for x in case.draw(40, 16, torch.Generator().manual_seed(0))
    ]
    want = case.loss(*inputs, temperature=0.05)
    wanted = torch.autograd.grad(want, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = case.loss(*inputs, temperature=0.05)
    gradients = torch.autograd.grad(got, inputs)
    assert got.dtype is torch.float32
    assert torch.isclose(got, want, rtol=1e-5)
    for a, b in zip(gradients, wanted, strict=True):
        assert (a - b).abs().max() <= 1e-5 * max(1, float(b.abs().max()))


@EVERY
def test_expanded_inputs(case):
    """Rows that share memory: writing in place would write all of them."""
    first = [x[..., :1, :] for x in case.draw(6, 5, torch.Generator().manual_seed(0))]
    n = 6
    views = [x.expand(*x.shape[:-2], n, 5) for x in first]
    copies = [x.clone() for x in views]
    if case.fewest > 1 or any(len(x) != n for x in case.draw(6, 5, torch.Generator())):
        views[1:], copies[1:] = [], []
        views += case.draw(6, 5, torch.Generator().manual_seed(1))[1:]
        copies += [x.clone() for x in views[1:]]
    assert torch.equal(case.loss(*views, temperature=0.3), case.loss(*copies, temperature=0.3))
    assert all(torch.equal(a, b) for a, b in zip(views, copies, strict=True))


@EVERY
@pytest.mark.parametrize(("n", "d"), [(97, 384), (64, 100), (7, 1)])
def test_sizes_that_are_no_power_of_two(case, n, d):
    inputs = [x.requires_grad_() for x in case.draw(n, d, torch.Generator().manual_seed(0))]
    results = []
    for path in ("reference", "streaming"):
        loss = case.loss(*inputs, temperature=0.2, path=path)
        results.append((loss, torch.autograd.grad(loss, inputs)))
    (a, das), (b, dbs) = results
    assert torch.isclose(a, b, rtol=1e-11, atol=1e-11)
    for da, db in zip(das, dbs, strict=True):
        assert (da - db).abs().max() <= 1e-9 * max(1.0, float(da.abs().max()))


@pytest.mark.parametrize("temperature", [0.01, 0.1])
def test_a_gradient_through_the_log_sum_exp(temperature):
    """An energy or a temperature's own loss uses the normaliser for itself."""
    z = rows(9, 4).requires_grad_()
    t = torch.tensor(temperature, dtype=torch.float64, requires_grad=True)

    def energy(path):
        u = normalize(z, dim=1)
        ids = torch.arange(9)
        scores = nearfar.inputs.scores_of(u, u, 1 / t, normalized=True)
        rule = nearfar.pairs.other(ids, ids)
        (lse,) = nearfar.dispatch.row_statistics(
            scores, [nearfar.statistic.Statistic("lse", rule)], path=path
        )
        return (lse * torch.arange(1.0, 10)).sum()

    want = torch.autograd.grad(energy("reference"), (z, t))
    for a, b in zip(torch.autograd.grad(energy("streaming"), (z, t)), want, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


def test_a_backward_pass_within_autocast():
    """Some trainers call it there, though torch advises against it."""
    a, b = (rows(40, 16, seed=s, dtype=torch.float32).requires_grad_() for s in (0, 1))
    for loss in (F.nt_xent, F.info_nce, F.clip):
        wanted = torch.autograd.grad(loss(a, b), (a, b))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            gradients = torch.autograd.grad(loss(a, b), (a, b))
        for g, w in zip(gradients, wanted, strict=True):
            assert torch.allclose(g, w, rtol=1e-5, atol=1e-7)


def test_the_share_of_the_positive_is_formed_in_float32():
    """p - 1 of a positive that is all but certain: in bf16 it rounds to 0 or to 1/128."""
    z = normalize(rows(6, 8, dtype=torch.float32))
    a, b = (z.to(torch.bfloat16).requires_grad_() for _ in range(2))
    (got,) = torch.autograd.grad(F.info_nce(a, b, temperature=0.1), a)
    exact = a.detach().double().requires_grad_()
    (want,) = torch.autograd.grad(F.info_nce(exact, b.detach().double(), temperature=0.1), exact)
    assert 0 < want.abs().max() < 5e-2
    assert (got.double() - want).abs().max() < 1e-2 * want.abs().max()


def test_scale_100_does_not_overflow():
    """CLIP's largest scale: e^100 is no float32."""
    x, y = (normalize(rows(16, 8, seed=s, dtype=torch.float32)).requires_grad_() for s in (0, 1))
    x.data[3] = y.data[5]  # a score of 100 for a negative
    loss = F.clip(x, y, logit_scale=100.0)
    want = F.clip(x.double(), y.double(), logit_scale=100.0, path="reference")
    assert torch.isclose(loss.double(), want, rtol=1e-5)
    for gradient in torch.autograd.grad(loss, (x, y)):
        assert gradient.isfinite().all()


def test_a_row_with_nothing_to_meet_is_counted_out():
    z = rows(5, 4).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 2])  # the last has no positive
    for positives in ("out", "in"):
        losses = F.sup_con(z, labels, positives=positives, reduction="none")
        assert losses[4] == 0
        assert torch.isclose(F.sup_con(z, labels, positives=positives), losses[:4].mean())
        (gradient,) = torch.autograd.grad(losses[4], z)
        assert gradient.eq(0).all()


class TestCompile:
    def test_gives_the_same(self):
        torch.manual_seed(0)
        layer = nn.Linear(8, 6)
        a, b = torch.randn(2, 10, 8)
        step = torch.compile(lambda: F.nt_xent(layer(a), layer(b)), backend="aot_eager")
        want = F.nt_xent(layer(a), layer(b))
        wanted = torch.autograd.grad(want, layer.weight)[0]
        got = step()
        assert torch.equal(got, want)
        assert torch.equal(torch.autograd.grad(got, layer.weight)[0], wanted)

    def test_does_not_unroll_the_tiles(self, monkeypatch):
        from torch._dynamo.testing import CompileCounter

        torch._dynamo.reset()
        monkeypatch.setitem(streaming.TILE, "cpu", 4)
        counter = CompileCounter()
        a, b = torch.randn(2, 40, 8)
        torch.compile(lambda a, b: F.nt_xent(a * 2, b * 2), backend=counter)(a, b)
        assert counter.op_count < 10


def test_one_sample_alone():
    z = rows(1, 3).requires_grad_()
    for loss in (F.nt_xent(z, -z), F.dcl(z, -z), F.info_nce(z, -z), F.clip(z, -z)):
        assert loss.item() == 0
        assert torch.autograd.grad(loss, z)[0].eq(0).all()


def test_the_mean_is_of_rows_not_of_pairs():
    """A batch of twice the same rows has twice the negatives, and not half the loss."""
    a, b = rows(6, 4), rows(6, 4, seed=1)
    once = F.info_nce(a, b, temperature=0.5, reduction="none")
    twice = F.info_nce(torch.cat([a, a]), torch.cat([b, b]), temperature=0.5)
    assert torch.isclose(twice, (once.exp() * 2).log().mean(), rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_batch_of_ignored_targets_alone(reduction):
    hidden = torch.randn(6, 4, requires_grad=True)
    weight = torch.randn(5, 4, requires_grad=True)
    target = torch.full((6,), -100)
    loss = F.linear_cross_entropy(hidden, weight, target, reduction=reduction)
    assert loss.shape == ((6,) if reduction == "none" else ())
    assert not loss.any()  # where torch's mean is NaN
    loss.sum().backward()
    assert not hidden.grad.any()
