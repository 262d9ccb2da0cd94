"""Global and local contrast of volumes, by their definitions."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

import nearfar.functional as F


def randn(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("path", ["reference", "streaming"])
def test_global_pairs(path):
    z, t = randn(12, 5), 0.2
    place = torch.arange(12) % 4
    positives = torch.tensor([[0, 4], [4, 8], [1, 5], [3, 11], [0, 4]])
    x = normalize(z, dim=1)
    s = x @ x.T / t
    total = 0
    for a, b in positives.tolist():
        for one, two in ((a, b), (b, a)):
            far = torch.stack([s[one, n] for n in range(12) if place[n] != place[one]])
            total = total + torch.cat([s[one, two][None], far]).logsumexp(0) - s[one, two]
    want = total / 12
    got = F.global_volumetric(z, positives, place, temperature=t, path=path)
    assert torch.isclose(got, want, atol=1e-12)
    (w,), (g,) = torch.autograd.grad(want, z), torch.autograd.grad(got, z)
    assert torch.allclose(w, g, atol=1e-10)


def test_global_with_own_places_is_nt_xent():
    """G^R: two augmentations of each slice, all other images negatives."""
    a, b = randn(6, 4), randn(6, 4, seed=1)
    place = torch.arange(6).repeat(2)
    positives = torch.stack([torch.arange(6), torch.arange(6) + 6], 1)
    got = F.global_volumetric(torch.cat([a, b]), positives, place)
    assert torch.isclose(got, F.nt_xent(a, b, temperature=0.1))


@pytest.mark.parametrize("symmetric", [True, False])
def test_local_regions(symmetric):
    a, b, t = randn(3, 5, 4), randn(3, 5, 4, seed=1), 0.3
    near = torch.tensor([[1, 2], [0, 2], [1, 3], [4, 2], [3, 0]])
    x, y = normalize(a, dim=2), normalize(b, dim=2)
    images = []
    for i in range(3):
        total = 0
        for u, v in ((x, y), (y, x)) if symmetric else ((x, y),):
            for r in range(5):
                own = u[i, r] @ v[i, r] / t
                far = [u[i, r] @ w[i, n] / t for w in (u, v) for n in near[r]]
                total = total + torch.stack([own, *far]).logsumexp(0) - own
        images.append(total / 5)
    want = torch.stack(images)
    got = F.local_volumetric(a, b, near, symmetric=symmetric, temperature=t, reduction="none")
    assert torch.allclose(got, want, atol=1e-12)
    one = torch.autograd.grad(want.mean(), [a, b])
    two = torch.autograd.grad(
        F.local_volumetric(a, b, near, symmetric=symmetric, temperature=t), [a, b]
    )
    assert all(torch.allclose(w, g, atol=1e-10) for w, g in zip(one, two, strict=True))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: F.global_volumetric(torch.eye(3), torch.tensor([[0, 3]]), torch.arange(3)),
         "positives reaches 3; expected 0 to 2"),
        (lambda: F.global_volumetric(torch.eye(3), torch.tensor([0, 1]), torch.arange(3)),
         r"positives is torch.int64 of shape \(2,\)"),
        (lambda: F.local_volumetric(torch.ones(2, 3, 4), torch.ones(2, 2, 4), torch.ones(3, 1)),
         r"regions_b \(2, 2, 4\); expected both"),
        (lambda: F.local_volumetric(*torch.ones(2, 2, 3, 4), torch.zeros(2, 1).long()),
         r"expected integers \[3, K\]"),
    ],
)  # fmt: skip
def test_mistakes(call, told):
    with pytest.raises(ValueError, match=told):
        call()
