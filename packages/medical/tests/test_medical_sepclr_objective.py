"""The objective of SepCLR against its formulas written out, pair by pair."""

from __future__ import annotations

import math

import pytest
import torch

from nearfar_medical.sepclr.objective import Weights, separate, separate_attributes

TERMS = (
    "common_alignment",
    "common_uniformity",
    "salient_alignment",
    "salient_uniformity",
    "infoless",
    "joint",
)


def batch(n=7, d=5, e=3, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    heads = [torch.randn(n, k, generator=g, dtype=dtype) for k in (d, d, e, e)]
    return [h.requires_grad_() for h in heads], torch.arange(n) % 3 == 0


def square(a, b):
    return ((a - b) ** 2).sum()


def gauss(a, b, tau):
    return torch.exp(-square(a, b) / (2 * tau))


def mean(values):
    return sum(values) / len(values)


def unit(x):
    return x / x.norm(dim=1, keepdim=True)


def spread(rows, tau):
    n = len(rows)
    return mean([gauss(rows[i], rows[j], tau) for i in range(n) for j in range(i + 1, n)]).log()


def dense(c1, c2, s1, s2, is_target, w, tau, repel=True):
    """L = L_common + w_s L_salient + w_r L_infoless + w_j L_kJEM, of Louiset et al. 2024."""
    n, targets = len(c1), is_target.nonzero()[:, 0].tolist()
    rest = [i for i in range(n) if i not in targets]
    u1, u2 = unit(c1), unit(c2)
    bar = [torch.stack([s[i] if i in targets else s[i] * 0 for i in range(n)]) for s in (s1, s2)]
    kept = bar if repel else [s[is_target] for s in (s1, s2)]
    joint = []
    for u, b in ((u1, bar[0]), (u2, bar[1])):
        for i in range(n):
            inner = [gauss(b[i], b[j], tau) * gauss(u[i], u[j], tau) for j in range(n)]
            joint.append(mean(inner).log())
    terms = {
        "common_alignment": mean([square(u1[k], u2[k]) / (2 * tau) for k in range(n)]),
        "common_uniformity": (spread(u1, tau) + spread(u2, tau)) / 2,
        "salient_alignment": mean([square(s1[k], s2[k]) / (2 * tau) for k in targets]),
        "salient_uniformity": (spread(kept[0], tau) + spread(kept[1], tau)) / 2,
        "infoless": mean([s[k].square().sum() / (2 * tau) for s in (s1, s2) for k in rest]),
        "joint": mean(joint),
    }
    common = terms["common_alignment"] + w.common_uniformity * terms["common_uniformity"]
    salient = terms["salient_alignment"] + w.salient_uniformity * terms["salient_uniformity"]
    total = w.common * common + w.salient * salient + w.infoless * terms["infoless"]
    return terms | {"total": total + w.joint * terms["joint"]}


@pytest.mark.parametrize("repel", [True, False])
def test_terms_and_gradients_are_those_of_the_formulas(repel):
    w = Weights(1.3, 2.1, 3.7, 1.9, 0.6, 5.0)  # all unlike, so that none can stand for another
    heads, is_target = batch()
    c1, c2, s1, s2 = heads
    got = separate((c1, c2), (s1, s2), is_target, weights=w, temperature=0.3, repel_constant=repel)
    want = dense(*heads, is_target, w, 0.3, repel)
    assert got.keys() == want.keys() == {*TERMS, "total"}
    for name in want:
        torch.testing.assert_close(got[name], want[name], msg=name)
        grads = (
            torch.autograd.grad(t[name], heads, retain_graph=True, materialize_grads=True)
            for t in (got, want)
        )
        for a, b in zip(*grads, strict=True):
            torch.testing.assert_close(a, b, msg=name)


def test_background_moves_no_other_row_through_the_constant():
    (c1, c2, s1, s2), is_target = batch()
    terms = separate((c1, c2), (s1, s2), is_target)
    for name in ("salient_uniformity", "joint", "salient_alignment"):
        (grad,) = torch.autograd.grad(terms[name], s1, retain_graph=True)
        assert not grad[~is_target].any(), name
        assert grad[is_target].abs().min() > 0, name


def test_by_default_the_weights_are_those_of_the_toy_sets():
    (c1, c2, s1, s2), is_target = batch()
    t = separate((c1, c2), (s1, s2), is_target)
    total = (
        t["common_alignment"] + 2 * t["common_uniformity"] + 10 * t["joint"]
        + 1000 * (t["salient_alignment"] + 2 * t["salient_uniformity"]) + 1000 * t["infoless"]
    )  # fmt: skip
    torch.testing.assert_close(t["total"], total)


@pytest.mark.parametrize(
    ("targets", "nought"),
    [
        ([], {"salient_alignment", "salient_uniformity"}),
        ([2], {"salient_alignment", "salient_uniformity"}),
        ([0, 1, 2, 3], {"infoless"}),
        ([0, 3], set()),
    ],
)
@pytest.mark.parametrize("repel", [True, False])
def test_a_term_without_its_images_is_nought(targets, nought, repel):
    heads, _ = batch(4)
    is_target = torch.zeros(4, dtype=torch.bool)
    is_target[targets] = True
    terms = separate((heads[0], heads[1]), (heads[2], heads[3]), is_target, repel_constant=repel)
    assert {name for name in TERMS if terms[name] == 0} == nought
    for grad in torch.autograd.grad(terms["total"], heads, materialize_grads=True):
        assert torch.isfinite(grad).all()


def test_one_image_alone_gives_numbers():
    heads, _ = batch(1)
    terms = separate((heads[0], heads[1]), (heads[2], heads[3]), torch.tensor([True]))
    assert all(torch.isfinite(v) for v in terms.values())
    assert terms["common_uniformity"] == 0


def test_far_salient_rows_do_not_underflow():
    (c1, c2, s1, s2), is_target = batch(dtype=torch.float32)
    terms = separate((c1, c2), (s1 * 100, s2 * 100), is_target)
    assert all(torch.isfinite(v) for v in terms.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, s, y: ((c, c), (s, s), y.long()), "is_target is torch.int64"),
        (lambda c, s, y: ((c, c), (s, s), y[1:]), "expected bool"),
        (lambda c, s, y: ((c, c), (s, s[1:]), y), "salient has"),
        (lambda c, s, y: ((c, c * torch.nan), (s, s), y), "NaN"),
    ],
)
def test_bad_inputs_are_named(change, message):
    (c, _, s, _), y = batch()
    with pytest.raises(ValueError, match=message):
        separate(*change(c, s, y))


class TestAttributes:
    def dense(self, c1, c2, s1, s2, is_target, y, discrete, w, tau, band, rest_tau):
        base = dense(c1, c2, s1, s2, is_target, w, tau)
        n, targets = len(c1), is_target.nonzero()[:, 0].tolist()
        rest = [i for i in range(n) if i not in targets]
        drawn, spreads, zero = [], [], []
        for s in (s1, s2):
            for k in range(s.shape[1]):
                together = []
                for i in targets:
                    for j in targets:
                        if i < j:
                            gap = float(y[i, k] - y[j, k])
                            equal = float(gap == 0)
                            weight = equal if discrete[k] else math.exp(-(gap**2) / (2 * band))
                            together.append(weight * (s[i, k] - s[j, k]) ** 2)
                to_zero = mean([s[i, k] ** 2 / (2 * rest_tau) for i in rest])
                bar = torch.stack([s[i, k : k + 1] * float(i in targets) for i in range(n)])
                drawn.append((mean(together) + to_zero) / 2)
                spreads.append(spread(bar, tau))
                zero.append(to_zero)
        base |= {
            "salient_alignment": mean(drawn),
            "salient_uniformity": mean(spreads),
            "infoless": mean(zero),
        }
        common = base["common_alignment"] + w.common_uniformity * base["common_uniformity"]
        salient = base["salient_alignment"] + w.salient_uniformity * base["salient_uniformity"]
        base["total"] = w.common * common + w.salient * salient + w.joint * base["joint"]
        return base

    def attributes(self, n=7):
        g = torch.Generator().manual_seed(1)
        y = torch.rand(n, 3, generator=g, dtype=torch.float64)
        y[:, 1] = (y[:, 1] > 0.5).double()
        return y

    def test_terms_and_gradients_are_those_of_the_formulas(self):
        w = Weights(1.3, 0.7, 3.7, 1.9, 0.6, 5.0)
        heads, is_target = batch()
        is_target = ~is_target  # five targets
        y, discrete = self.attributes(), [False, True, False]
        c1, c2, s1, s2 = heads
        got = separate_attributes(
            (c1, c2), (s1, s2), is_target, y,
            discrete=discrete, weights=w, temperature=0.3, bandwidth=0.05,
            background_temperature=0.4,
        )  # fmt: skip
        want = self.dense(*heads, is_target, y, discrete, w, 0.3, 0.05, 0.4)
        assert got.keys() == want.keys()
        for name in want:
            torch.testing.assert_close(got[name], want[name], msg=name)
        grads = (torch.autograd.grad(t["total"], heads) for t in (got, want))
        for a, b in zip(*grads, strict=True):
            torch.testing.assert_close(a, b)

    def test_rows_of_background_need_no_attributes(self):
        heads, is_target = batch()
        y = self.attributes()
        args = ((heads[0], heads[1]), (heads[2], heads[3]), is_target)
        whole = separate_attributes(*args, y)
        y[~is_target] = torch.nan
        assert separate_attributes(*args, y)["total"] == whole["total"]
        y[is_target.nonzero()[0]] = torch.nan
        with pytest.raises(ValueError, match="NaN or infinity in a target"):
            separate_attributes(*args, y)
        with pytest.raises(ValueError, match="attributes has shape"):
            separate_attributes(*args, y[:, :2])

    @pytest.mark.parametrize("targets", [[], [2], [0, 1, 2, 3]])
    def test_guards(self, targets):
        heads, _ = batch(4)
        is_target = torch.zeros(4, dtype=torch.bool)
        is_target[targets] = True
        terms = separate_attributes(
            (heads[0], heads[1]), (heads[2], heads[3]), is_target, self.attributes(4)
        )
        assert all(torch.isfinite(v) for v in terms.values())
        assert (terms["infoless"] == 0) == (len(targets) == 4)
        assert (terms["salient_uniformity"] == 0) == (len(targets) < 2)
