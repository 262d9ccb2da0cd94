"""Every loss against its definition, on both paths; see core_cases."""

from __future__ import annotations

import pytest
import torch
from core_cases import CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar import resident, streaming

EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
PATHS = pytest.mark.parametrize("path", ["reference", "streaming"])


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    # Batches of a test then have several tiles, and a ragged last one.
    monkeypatch.setitem(streaming.TILE, "cpu", 5)
    monkeypatch.setitem(resident.WIDTH, "cpu", 3)


def draw(case: Case, n: int, d: int, seed: int = 0) -> list[torch.Tensor]:
    inputs = case.draw(n, d, torch.Generator().manual_seed(seed))
    return [x.requires_grad_() for x in inputs]


def value_and_gradients(loss, inputs, weights=None):
    if weights is not None:
        loss = (loss * weights).sum()
    return loss.detach(), torch.autograd.grad(loss, inputs)


class TestEveryLoss:
    @EVERY
    @PATHS
    @pytest.mark.parametrize("n", [2, 3, 13, 16])
    @pytest.mark.parametrize("temperature", [0.07, 0.001, 2.0])  # 0.001: the online maximum
    def test_equals_its_definition(self, case, path, n, temperature):
        inputs = draw(case, max(n, case.fewest), 7)
        rows, some = case.oracle(inputs, temperature)
        upstream = torch.linspace(-1, 2, len(rows), dtype=torch.float64)
        got = case.loss(*inputs, temperature=temperature, reduction="none", path=path)
        scale = max(1.0, float(rows.detach().abs().max()))
        assert (got - rows).abs().max() <= 1e-10 * scale
        want = torch.autograd.grad((rows * upstream).sum(), inputs, retain_graph=True)
        have = torch.autograd.grad((got * upstream).sum(), inputs)
        for w, h in zip(want, have, strict=True):
            assert (w - h).abs().max() <= 1e-8 * max(1.0, float(w.abs().max()))
        for reduction, reduced in {
            "sum": rows.sum(),
            "mean": rows.sum() / some.sum().clamp(min=1),
        }.items():
            got = case.loss(*inputs, temperature=temperature, reduction=reduction, path=path)
            assert torch.isclose(got, reduced, rtol=1e-10, atol=1e-10)

    @EVERY
    def test_passes_finite_differences(self, case):
        if case.held:
            return
        inputs = draw(case, 7, 3)
        t = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda t, *z: case.loss(*z, temperature=t, path="streaming"), (t, *inputs)
        )

    @EVERY
    @settings(max_examples=15)
    @given(
        n=st.integers(4, 23), d=st.sampled_from([1, 2, 7, 33]), side=st.integers(1, 30),
        seed=st.integers(0, 99), dtype=st.sampled_from([torch.float32, torch.float64]),
    )  # fmt: skip
    def test_streaming_equals_reference_at_any_shape(self, case, n, d, side, seed, dtype):
        inputs = [x.detach().to(dtype).requires_grad_() for x in draw(case, n, d, seed)]
        results = {}
        for path in ("reference", "streaming"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(streaming.TILE, "cpu", side)
                patch.setitem(resident.WIDTH, "cpu", 1 + side // 2)
                loss = case.loss(*inputs, temperature=0.2, path=path)
            results[path] = value_and_gradients(loss, inputs)
        tolerance = 2e-5 if dtype is torch.float32 else 1e-10
        (a, das), (b, dbs) = results.values()
        assert torch.isclose(a, b, rtol=tolerance, atol=tolerance)
        # A gradient through the unit norm, and its rounding, is as large as 1 / |row|.
        for x, da, db in zip(inputs, das, dbs, strict=True):
            scale = max(1.0, float(da.abs().max()), float(1 / x.detach().norm(dim=-1).min()))
            assert (da - db).abs().max() <= tolerance * scale

    @EVERY
    def test_one_row_has_a_loss_or_none(self, case):
        if case.fewest > 1:
            with pytest.raises(ValueError, match="none of 1 rows has a positive"):
                case.loss(*draw(case, 1, 4))
            return
        inputs = draw(case, 1, 4)
        loss, gradients = value_and_gradients(case.loss(*inputs, temperature=0.1), inputs)
        assert torch.isfinite(loss)
        assert all(torch.isfinite(g).all() for g in gradients)

    @EVERY
    def test_twice_backward_and_a_subset_of_gradients(self, case):
        inputs = draw(case, 9, 4)
        loss = case.loss(*inputs, temperature=0.3)
        first = torch.autograd.grad(loss, inputs, retain_graph=True)
        again = torch.autograd.grad(loss, inputs)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        for i, wanted in enumerate(inputs):
            alone = [x.detach() for x in inputs]
            alone[i] = wanted
            (got,) = torch.autograd.grad(case.loss(*alone, temperature=0.3), [wanted])
            assert torch.allclose(got, first[i], rtol=1e-12, atol=1e-14)

    @EVERY
    def test_memory_layout_does_not_matter(self, case):
        inputs = draw(case, 9, 4)
        # Every second number of a larger tensor.
        strided = [x.repeat_interleave(2, -1)[..., ::2] for x in inputs]
        assert not any(x.is_contiguous() for x in strided)
        assert torch.equal(
            case.loss(*strided, temperature=0.3), case.loss(*inputs, temperature=0.3)
        )

    @EVERY
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_inputs_are_computed_in_float32(self, case, dtype):
        rounded = [x.detach().to(dtype) for x in draw(case, 12, 8)]
        half = [x.clone().requires_grad_() for x in rounded]
        exact = [x.double().requires_grad_() for x in rounded]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = case.loss(*half, temperature=0.1)
        want, gradients = value_and_gradients(case.loss(*exact, temperature=0.1), exact)
        assert loss.dtype is torch.float32
        assert abs(loss.item() - want.item()) < 1e-5 * max(1, abs(want.item()))
        for g, w in zip(torch.autograd.grad(loss, half), gradients, strict=True):
            assert g.dtype is dtype
            assert (g.double() - w).abs().max() < 1e-2 * max(1e-2, float(w.abs().max()))

    @EVERY
    def test_overflow_does_not_reach_the_loss(self, case):
        inputs = [(x.detach() * 1e3).float().requires_grad_() for x in draw(case, 8, 4)]
        loss, gradients = value_and_gradients(
            case.loss(*inputs, temperature=0.01, normalize=False), inputs
        )
        assert torch.isfinite(loss)
        assert all(torch.isfinite(g).all() for g in gradients)
