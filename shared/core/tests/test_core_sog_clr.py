"""SogCLR's gradient is that of its definition at the kept normaliser; temperatures move right."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

import nearfar
import nearfar.functional as F


def views(n=6, d=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=g, dtype=torch.float64).requires_grad_() for _ in "ab"]


def parts(a, b):
    """h [2N, 2N - 2], by the definition."""
    z = normalize(torch.cat([a, b]), dim=1)
    n, s = len(a), z @ z.T
    rows = torch.arange(2 * n)
    h = [s[i, (rows % n) != i % n] - s[i, (i + n) % (2 * n)] for i in range(2 * n)]
    return torch.stack(h)


def test_on_a_first_visit_it_is_dcl_times_tau():
    a, b = views()
    loss = nearfar.SogCLR(samples=6, temperature=0.3)
    got = torch.autograd.grad(loss(a, b, torch.arange(6)), [a, b])
    # u is the mean of both views' g, DCL's normaliser each view's own.
    h = parts(a, b)
    g = (h / 0.3).exp().mean(1)
    u = ((g[:6] + g[6:]) / 2).repeat(2)
    want = torch.autograd.grad((0.3 * g / u.detach()).mean(), [a, b])
    for w, x in zip(want, got, strict=True):
        assert torch.allclose(w, x, atol=1e-6)


def test_the_normaliser_is_a_moving_average_and_the_gradient_uses_it():
    index = torch.tensor([3, 1, 5, 0])
    loss = nearfar.SogCLR(samples=7, gamma=0.25, temperature=0.5)
    u = {}
    for seed in range(3):
        a, b = views(4, seed=seed)
        got = torch.autograd.grad(loss(a, b, index), [a, b])
        g = (parts(a, b) / 0.5).exp().mean(1)
        mean = ((g[:4] + g[4:]) / 2).detach()
        for n, i in enumerate(index.tolist()):
            u[i] = mean[n] if i not in u else 0.75 * u[i] + 0.25 * mean[n]
        kept = torch.stack([u[i] for i in index.tolist()]).repeat(2)
        want = torch.autograd.grad((0.5 * g / kept).mean(), [a, b])
        for w, x in zip(want, got, strict=True):
            assert torch.allclose(w, x, atol=1e-6)
    assert loss.log_u[2].isinf()  # never seen
    assert torch.allclose(loss.log_u[3].exp(), u[3].float())


def test_temperatures_take_the_step_of_their_gradient():
    a, b = (x.detach() for x in views(4))
    index = torch.tensor([0, 2, 4, 5])
    loss = nearfar.ISogCLR(samples=6, temperature=0.4, rho=0.3, rate=0.01, clip=100.0)
    loss(a, b, index)
    tau = torch.full((4,), 0.4, dtype=torch.float64, requires_grad=True)
    h = parts(a, b)
    g = (h / tau.repeat(2)[:, None]).exp().mean(1)
    u = (g[:4] + g[4:]) / 2
    # d/dtau of tau log u + tau rho, tau log u differentiated through both views' g.
    (slope,) = torch.autograd.grad((tau * u.log() + tau * 0.3).sum(), tau)
    assert torch.allclose(loss.tau[index], (0.4 - 0.01 * 0.9 * slope).float(), atol=1e-5)
    assert (loss.tau[[1, 3]] == 0.4).all()
    loss.eval()
    before = loss.tau.clone()
    loss(a, b, index)
    assert torch.equal(loss.tau, before)


def test_state_travels_and_hard_negatives_do_not_overflow():
    loss = nearfar.ISogCLR(samples=4, temperature=0.05)
    a = torch.tensor([[1.0, 0], [1, 0]])
    b = -a  # h = 2 at temperature 0.05
    value = loss(a.requires_grad_(), b, torch.tensor([0, 1]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(a.grad).all()
    other = nearfar.ISogCLR(samples=4, temperature=0.05)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.log_u, loss.log_u)


@pytest.mark.parametrize(
    ("index", "told"),
    [([0, 9], "index reaches 9; expected 0 to 3"), ([0], "integers"), ([0.5, 1.0], "index is")],
)  # fmt: skip
def test_mistakes(index, told):
    with pytest.raises(ValueError, match=told):
        nearfar.SogCLR(samples=4)(torch.eye(2), torch.eye(2), torch.tensor(index))


def test_matryoshka_sums_over_prefixes():
    a, b = views(5, 8)
    loss = nearfar.Matryoshka(F.nt_xent, [2, 4, 8], [1.0, 0.5, 2.0])
    want = sum(w * F.nt_xent(a[:, :m], b[:, :m]) for m, w in ((2, 1.0), (4, 0.5), (8, 2.0)))
    assert torch.isclose(loss(a, b), want)
    labels = torch.tensor([0, 0, 1, 1, 0])
    assert nearfar.Matryoshka(nearfar.SupCon(), [3])(a, labels) == F.sup_con(a[:, :3], labels)
    with pytest.raises(ValueError, match="widths reach 9; expected at most 8"):
        nearfar.Matryoshka(F.nt_xent, [9])(a, b)
