"""On a CUDA device: every loss in every type against the reference in float64, and large sizes."""

from __future__ import annotations

import pytest
import torch
from core_cases import CASES

import nearfar
import nearfar.functional as F

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("n", "d"), [(37, 20), (300, 128), (129, 384)])
def test_every_loss_equals_the_reference(case, dtype, n, d):
    drawn = [x.to(dtype) for x in case.draw(n, d, torch.Generator().manual_seed(0))]
    exact = [x.double().requires_grad_() for x in drawn]
    want = case.loss(*exact, temperature=0.1, path="reference")
    wanted = torch.autograd.grad(want, exact)
    inputs = [x.cuda().requires_grad_() for x in drawn]
    with torch.device("cuda"):
        loss = case.loss(*inputs, temperature=0.1)
    got = torch.autograd.grad(loss, inputs)
    tolerance = TOLERANCE[dtype]
    assert abs(float(loss) - float(want)) <= tolerance * max(1.0, abs(float(want)))
    for g, w in zip(got, wanted, strict=True):
        limit = tolerance * max(float(w.abs().max()), 1e-3 if tolerance < 1e-4 else 0.0)
        assert (g.double().cpu() - w).abs().max() <= 2 * limit


def test_the_kernels_are_what_runs():
    assert nearfar.loss_path("cuda") == "triton"


def test_tf32_is_taken_only_where_torch_may():
    x = torch.randn(512, 256, device="cuda") * 4
    exact = F.nt_xent(x.double(), x.flip(0).double(), temperature=0.02)
    assert abs(F.nt_xent(x, x.flip(0), temperature=0.02).item() - exact.item()) < 1e-4
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        assert abs(F.nt_xent(x, x.flip(0), temperature=0.02).item() - exact.item()) < 2e-2
    finally:
        torch.set_float32_matmul_precision(before)


def test_offsets_past_two_to_the_31st():
    keys = torch.zeros(2**22 + 64, 520, device="cuda", dtype=torch.bfloat16)
    keys[-1, -1] = 1
    assert keys.numel() > 2**31
    queries = torch.zeros(4, 520, device="cuda", dtype=torch.bfloat16)
    queries[:, -1] = 40
    queries.requires_grad_()
    target = torch.full((4,), len(keys) - 1, device="cuda")
    loss = F.linear_cross_entropy(queries, keys, target)
    assert loss.item() < 1e-3  # all of e^40 against four million times 1
    (gradient,) = torch.autograd.grad(loss, queries)
    assert gradient.isfinite().all()


def test_memory_is_linear():
    x, y = (torch.randn(65_536, 128, device="cuda").requires_grad_() for _ in "xy")
    F.nt_xent(x[:64], y[:64]).backward()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    F.nt_xent(x, y).backward()
    assert torch.cuda.max_memory_allocated() - before < 10 * x.numel() * 4


def test_deterministic():
    x, y = (torch.randn(3000, 96, device="cuda").requires_grad_() for _ in "xy")
    runs = [torch.autograd.grad(F.clip(x, y), (x, y)) for _ in range(3)]
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))
