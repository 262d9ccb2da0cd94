"""The core operation itself: all statistics at once, all four gradients, empty rows, memory."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar import reference, resident, streaming
from nearfar.functional import info_nce, linear_cross_entropy
from nearfar.pairs import everything, other, same
from nearfar.statistic import Scores, Statistic

KINDS = ["lse", "mean", "moment", "softplus", "softminus"]


def problem(n, m, d, *, per_row=True, bias=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(k, d, generator=g, dtype=torch.float64) for k in (n, m))
    scale = torch.rand(n if per_row else (), generator=g, dtype=torch.float64) * 3 + 0.1
    c = torch.randn(m, generator=g, dtype=torch.float64) if bias else None
    row = torch.randint(0, 4, (n,), generator=g)
    col = torch.randint(0, 4, (m,), generator=g)
    weight = torch.rand(m, generator=g, dtype=torch.float64).log()
    if m > 2:
        weight[1] = -torch.inf  # a key of weight 0
    tensors = [t.requires_grad_() for t in (x, y, scale, c) if t is not None]
    label, number = same(row, col), other(torch.arange(n), torch.arange(m))
    statistics = [
        Statistic(kind, pairs, w)
        for kind in KINDS
        for pairs in (everything(), label, other(row, col) & number, label & number)
        for w in ((None, weight) if kind in ("lse", "mean") else (None,))
    ]
    return tensors, Scores(x, y, scale, c), statistics


@settings(max_examples=40)
@given(
    n=st.integers(1, 12), m=st.integers(1, 12), d=st.integers(1, 5), side=st.integers(1, 13),
    per_row=st.booleans(), bias=st.booleans(), seed=st.integers(0, 999),
)  # fmt: skip
def test_streaming_equals_the_definition(n, m, d, side, per_row, bias, seed):
    tensors, scores, statistics = problem(n, m, d, per_row=per_row, bias=bias, seed=seed)
    want = reference.row_statistics(scores, statistics)
    have = streaming.row_statistics(scores, statistics, tile=side)
    for w, h in zip(want, have, strict=True):
        assert torch.allclose(w, h, rtol=1e-10, atol=1e-10)  # equal infinities are close

    def of(rows):
        # Rows without a pair are -inf; what a loss makes of them has no gradient.
        return sum((r[~r.isinf()] * torch.arange(1, n + 1)[~r.isinf()]).sum() for r in rows)

    for w, h in zip(
        torch.autograd.grad(of(want), tensors), torch.autograd.grad(of(have), tensors), strict=True
    ):
        assert torch.allclose(w, h, rtol=1e-8, atol=1e-8)


@settings(max_examples=60)
@given(
    n=st.integers(1, 12), m=st.integers(1, 12), side=st.integers(1, 13), width=st.integers(1, 13),
    per_row=st.booleans(), bias=st.booleans(), inside=st.booleans(), even=st.booleans(),
    bounded=st.booleans(), rule=st.sampled_from(["all", "label", "other"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_gradients_formed_in_the_forward_pass(
    n, m, side, width, per_row, bias, inside, even, bounded, rule, seed
):
    tensors, scores, _ = problem(n, m, 3, per_row=per_row, bias=bias, seed=seed)
    row, col = torch.arange(n) % 3, torch.arange(m) % 3
    pairs = {"all": everything(), "label": same(row, col), "other": other(row, col)}[rule]
    base = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    base.requires_grad_()
    (lse,) = reference.row_statistics(scores, [Statistic("lse", pairs)])
    want = lse - base if inside else torch.nn.functional.softplus(lse - base)
    some = ~want.isinf()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(streaming.TILE, "cpu", side)
        patch.setitem(resident.WIDTH, "cpu", width)
        bounded_scores = dataclasses.replace(scores, bounded=bounded)  # small enough to be so
        have = resident.losses(bounded_scores, pairs, base, base_inside=inside)
        assert torch.allclose(want, have, rtol=1e-10, atol=1e-10)
        up = torch.full((n,), 0.7) if even else torch.arange(1.0, n + 1)
        wanted = torch.autograd.grad((want * up)[some].sum(), [*tensors, base])
        if inside and not some.all():
            return  # minus infinity is no loss
        got = torch.autograd.grad((have * up).sum(), [*tensors, base])
    for w, h in zip(wanted, got, strict=True):
        assert torch.allclose(w, h, rtol=1e-8, atol=1e-8)


def test_which_losses_form_gradients_in_the_forward_pass(monkeypatch):
    calls = []
    inner = resident.losses
    monkeypatch.setattr(resident, "losses", lambda *a, **k: calls.append(1) or inner(*a, **k))
    x = torch.randn(5, 3, requires_grad=True)
    info_nce(x, x.detach())
    linear_cross_entropy(x, torch.randn(4, 3), torch.tensor([0, 1, 2, 3, -100]))
    assert len(calls) == 2
    info_nce(x.detach(), x.detach())  # no gradient is wanted
    with torch.no_grad():
        info_nce(x, x)
    info_nce(x, x, path="reference")
    monkeypatch.setitem(resident.RESIDENT, "cpu", 5 * 63)  # no room
    info_nce(x, x.detach())
    assert len(calls) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_finite_differences(kind):
    tensors, _, statistics = problem(6, 7, 3)
    wanted = [s for s in statistics if s.kind == kind and s.pairs == everything()]

    def rows(x, y, scale, bias):
        return streaming.row_statistics(Scores(x, y, scale, bias), wanted, tile=4)

    assert torch.autograd.gradcheck(rows, tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_pairs_has_no_gradient(kind):
    (x, y, _), scores, _ = problem(5, 6, 3, bias=False)
    rows = torch.tensor([0, 1, 9, 1, 0])  # no column has code 9
    pairs = same(rows, torch.tensor([0, 1, 0, 1, 1, 0]))
    (value,) = streaming.row_statistics(scores, [Statistic(kind, pairs)], tile=2)
    assert value[2].item() == (-torch.inf if kind == "lse" else 0)
    dx, dy = torch.autograd.grad(value, [x, y], torch.ones_like(value))
    assert dx[2].eq(0).all()
    assert dx[[0, 1, 3, 4]].ne(0).all()
    assert dy.isfinite().all()


def test_scores_far_below_an_early_empty_tile_are_kept():
    # The first tile admits nothing to row 0; its running maximum must not stay at 0.
    x = torch.tensor([[-1000.0]])
    scores = Scores(x, torch.ones(4, 1), torch.tensor(1.0))
    pairs = same(torch.tensor([1]), torch.tensor([0, 0, 1, 1]))
    # The codes of both tiles overlap the row's range only if the mask is made: force it.
    mixed = same(torch.tensor([1]), torch.tensor([0, 2, 1, 1]))
    for rule in (pairs, mixed):
        (value,) = streaming.row_statistics(scores, [Statistic("lse", rule)], tile=2)
        assert value.item() == pytest.approx(-1000 + 0.6931472, rel=1e-6)


MEMORY = """
import sys
from pathlib import Path
import torch, nearfar.functional as F

def status(name):  # kB
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

a, b = torch.randn(2, int(sys.argv[1]) // 2, 128).requires_grad_().unbind()
F.nt_xent(a[:64], b[:64]).backward()  # what the first call loads is not the loss's
# The peak of this process alone: getrusage's would begin with the parent's.
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
F.nt_xent(a, b).backward()
print((status("VmHWM") - before) / 1024)
"""


def extra_memory(n: int) -> float:
    """MB over the inputs of NT-Xent on n rows in all, forward and backward."""
    call = [sys.executable, "-c", MEMORY, str(n)]
    return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's counters")
def test_memory_is_linear_and_small():
    assert 10 < extra_memory(16_384) < 150  # the gradient alone takes 8 MB
    assert extra_memory(32_768) < 2 * 150  # a matrix of scores would take 4 GB


def test_weights_far_below_the_bound_are_kept():
    # Unit vectors let the exponent be shifted by 1 / temperature; a weight of e^-200 must not
    # underflow behind that shift.
    x = torch.nn.functional.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    scores = Scores(x, x, torch.tensor(10.0), bounded=True)
    statistic = Statistic("lse", everything(), torch.full((3,), -200.0))
    (want,) = reference.row_statistics(scores, [statistic])
    (have,) = streaming.row_statistics(scores, [statistic])
    assert torch.allclose(want, have)
