"""The GPU kernels, interpreted: every loss and statistic against the definition, in all types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from core_cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

import nearfar.functional as F
from nearfar import dispatch, precision, reference
from nearfar.pairs import everything, other, same
from nearfar.scope import Scope
from nearfar.statistic import Scores, Statistic

pytest.importorskip("triton")
from nearfar import triton_path  # after the check that there is a Triton

KINDS = ["lse", "mean", "moment", "softplus", "softminus"]

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="test_core_gpu runs them for themselves"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning:triton"),  # infinities of masked pairs
]


def drawn(case, n, d, dtype=torch.float32):
    inputs = case.draw(n, d, torch.Generator().manual_seed(0))
    return [x.to(dtype=dtype).requires_grad_() for x in inputs]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(("n", "d", "temperature"), [(19, 20, 0.1), (17, 7, 0.003)])
def test_every_loss_equals_the_reference(case, n, d, temperature):
    inputs = drawn(case, n, d)
    results = []
    t = torch.tensor(temperature, requires_grad=True)
    for path in ("reference", "triton"):
        loss = case.loss(*inputs, temperature=t, path=path)
        *gradients, dt = torch.autograd.grad(loss, [*inputs, t], materialize_grads=True)
        results.append((loss, dt, gradients))
    (a, dta, das), (b, dtb, dbs) = results
    assert torch.isclose(a, b, rtol=1e-5, atol=1e-5)
    assert torch.isclose(dta, dtb, rtol=1e-4, atol=1e-4 / temperature)
    for x, da, db in zip(inputs, das, dbs, strict=True):
        # 1 / temperature multiplies the rounding of scores, 1 / |row| that of unit vectors.
        scale = max(float(da.abs().max()), 1.0, float(1 / x.detach().norm(dim=-1).min()))
        assert (da - db).abs().max() <= 1e-6 / temperature * scale


@settings(max_examples=40)
@given(
    n=st.integers(1, 37), m=st.integers(1, 37), d=st.sampled_from([1, 7, 16, 33, 100]),
    kind=st.sampled_from(KINDS), rule=st.sampled_from(["all", "label", "other", "two"]),
    per_row=st.booleans(), bias=st.booleans(), weight=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_every_statistic_equals_the_definition(n, m, d, kind, rule, per_row, bias, weight, seed):
    g = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(k, d, generator=g).div(d**0.5) for k in (n, m))
    scale = torch.rand(n if per_row else (), generator=g) * 3 + 0.1
    c = torch.randn(m, generator=g) if bias else None
    row, col = (torch.randint(0, 4, (k,), generator=g) for k in (n, m))
    number = other(torch.arange(n), torch.arange(m))
    pairs = {"all": everything(), "label": same(row, col), "other": other(row, col),
             "two": same(row, col) & number}[rule]  # fmt: skip
    log_weight = None
    if weight and kind in ("lse", "mean"):
        log_weight = torch.rand(m, generator=g).log()
        log_weight[0] = -torch.inf
    statistic = Statistic(kind, pairs, log_weight)
    tensors = [t.requires_grad_() for t in (x, y, scale, c) if t is not None]
    scores = Scores(x, y, scale, c)
    up = torch.arange(1.0, n + 1)

    results = []
    for path in (reference, triton_path):
        (value,) = path.row_statistics(scores, [statistic])
        real = ~value.isinf()
        results.append((value, torch.autograd.grad((value * up)[real].sum(), tensors)))
    (want, gradients), (have, others) = results
    assert torch.allclose(want, have, rtol=1e-5, atol=1e-5)
    for w, h in zip(gradients, others, strict=True):
        assert (w - h).abs().max() <= 2e-5 * max(1.0, float(w.abs().max()))


def test_normalisers_far_apart_take_two_exponentials():
    # One row's scores are 200 above another's: e^{s - shift} of the latter would be 0.
    z = torch.tensor([[12.0, 0], [12, 1], [0, 1], [1, 1], [1, 0.5]], requires_grad=True)
    own = torch.arange(5)
    statistic = Statistic("lse", other(own, own))
    gradients = []
    for path in (reference, triton_path):
        (value,) = path.row_statistics(Scores(z, z, torch.tensor(2.0)), [statistic])
        gradients.append(torch.autograd.grad(value.sum(), z)[0])
    assert (gradients[0] - gradients[1]).abs().max() < 1e-5 * gradients[0].abs().max()
    assert gradients[0][3:].abs().min() > 0.1


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize("name", ["nt_xent", "info_nce", "clip", "sup_con_out", "siglip"])
def test_half_products(name, dtype, tolerance):
    case = next(case for case in CASES if case.name == name)
    half = drawn(case, 40, 32, dtype)
    exact = [x.detach().double().requires_grad_() for x in half]
    loss = case.loss(*half, temperature=0.1, path="triton")
    want = case.loss(*exact, temperature=0.1, path="reference")
    assert loss.dtype is torch.float32
    assert abs(float(loss.detach() - want.detach())) <= tolerance * abs(float(want.detach()))
    got = torch.autograd.grad(loss, half)
    for g, w in zip(got, torch.autograd.grad(want, exact), strict=True):
        assert g.dtype is dtype
        assert (g.double() - w).abs().max() <= 2 * tolerance * float(w.abs().max())


def test_float16_gradients_of_a_large_batch_do_not_underflow():
    # 1e-6 stands for 1 / N: times a softmax over as many it is under float16's least number.
    x = torch.nn.functional.normalize(
        torch.randn(40, 16, generator=torch.Generator().manual_seed(0))
    )
    x.requires_grad_()
    grads = []
    for products in (None, torch.float16):
        with Scope(precision._current, products):
            (value,) = triton_path.row_statistics(
                Scores(x, x.detach(), torch.tensor(1.0)), [Statistic("lse", everything())]
            )
        grads.append(torch.autograd.grad(value.sum() * 1e-7, x)[0])
    assert (grads[0] - grads[1]).abs().max() < 1e-2 * grads[0].abs().max()


def test_which_path_is_taken(monkeypatch):
    calls = []
    for name in ("row_statistics", "two_way"):
        inner = getattr(triton_path, name)
        monkeypatch.setattr(
            triton_path, name, lambda *a, f=inner, name=name: calls.append(name) or f(*a)
        )
    x = torch.randn(5, 4)
    F.nt_xent(x, x, path="triton")
    F.clip(x, x, path="triton")
    assert calls == ["row_statistics", "two_way"]
    F.nt_xent(x.double(), x.double(), path="triton")  # float64 has no kernel
    assert len(calls) == 2
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert dispatch.loss_path("cpu") == "streaming"
    with pytest.raises(ValueError, match="path is 'triton' for a cpu device"):
        F.nt_xent(x, x, path="triton")


@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernels_compile_and_fit(capability):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("core_ptx.py")
    done = subprocess.run(
        [sys.executable, script, str(capability)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # 99 KiB a block is what the smallest cards of the last generations give.
    assert max(json.loads(done.stdout).values()) <= 99 * 1024
