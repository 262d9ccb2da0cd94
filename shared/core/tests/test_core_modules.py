"""The losses as modules, and equality with the peers people come from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import nearfar
import nearfar.functional as F

X, Y = torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 4


def test_a_module_is_its_function_with_settings_kept():
    loss = nearfar.NTXent(temperature=0.3, reduction="sum")
    assert loss(X, Y) == F.nt_xent(X, Y, temperature=0.3, reduction="sum")
    assert "temperature=0.3" in repr(loss)
    queue = nearfar.InfoNCE()(X, Y, negatives=Y.flip(1))
    assert queue == F.info_nce(X, Y, negatives=Y.flip(1))
    assert nearfar.CLIP()(X, Y, logit_scale=5.0) == F.clip(X, Y, logit_scale=5.0)
    assert nearfar.SupCon(positives="in")(X, LABELS) == F.sup_con(X, LABELS, positives="in")


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match="NTXent has no setting temprature; expected temperature,"):
        nearfar.NTXent(temprature=0.3)


def test_a_learned_temperature_is_a_parameter():
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.log = nn.Parameter(torch.tensor(-1.0))

        def forward(self):
            return self.log.exp()

    plain = nearfar.InfoNCE(temperature=nn.Parameter(torch.tensor(0.2)))
    module = nearfar.InfoNCE(temperature=Learned())
    for loss in (plain, module):
        loss(X, Y).backward()
        (parameter,) = loss.parameters()
        assert parameter.grad is not None
        assert parameter.grad != 0


class TestPeers:
    """pytorch-metric-learning, lightly, torch where the definitions agree: values and gradients."""

    def test_lightly_nt_xent(self):
        peers = pytest.importorskip("lightly.loss")  # wants torchvision, of which not all have one
        self.agree(
            lambda x: peers.NTXentLoss(temperature=0.2)(x[:6], x[6:]),
            lambda x: F.nt_xent(x[:6], x[6:], temperature=0.2),
        )

    def test_lightly_swav(self):
        """With the assignment of one iteration more: theirs ends on columns, ours on rows."""
        peers = pytest.importorskip("lightly.loss")
        x = nn.functional.normalize(X)
        centres = nn.functional.normalize(Y[:5])
        a, b = (x[:6] @ centres.T), (x[6:] @ centres.T)
        theirs = peers.SwaVLoss(temperature=0.1, sinkhorn_iterations=50)([a, b], [])
        ours = F.swav(x[:6], x[6:], centres, temperature=0.1, epsilon=0.05, iterations=50)
        assert torch.isclose(theirs, ours, rtol=1e-3)

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_torch_linear_cross_entropy(self, smoothing, reduction):
        target = torch.tensor([0, 3, -100, 1, 2, 7, 7, 0, -100, 1, 1, 2])
        chunked = getattr(nn.functional, "linear_cross_entropy", None)

        def theirs(x):
            if chunked is None:  # before torch 2.13
                logits = nn.functional.linear(x, Y, Y[:, 0])
                return nn.functional.cross_entropy(
                    logits, target, label_smoothing=smoothing, reduction=reduction
                )
            return chunked(
                x, Y, target, linear_bias=Y[:, 0], label_smoothing=smoothing, reduction=reduction,
                options=None if smoothing else nn.LinearCrossEntropyOptions(),
            )  # fmt: skip

        self.agree(
            theirs,
            lambda x: F.linear_cross_entropy(
                x, Y, target, bias=Y[:, 0], label_smoothing=smoothing, reduction=reduction
            ),
        )

    @pytest.mark.parametrize("temperature", [0.07, 0.5])
    def test_sup_con(self, temperature):
        peers = pytest.importorskip("pytorch_metric_learning.losses")
        self.agree(
            lambda x: peers.SupConLoss(temperature=temperature)(x, LABELS),
            lambda x: F.sup_con(x, LABELS, temperature=temperature),
        )

    def test_nt_xent(self):
        peers = pytest.importorskip("pytorch_metric_learning.losses")
        pair = torch.arange(6).repeat(2)
        self.agree(
            lambda x: peers.NTXentLoss(temperature=0.2)(x, pair),
            lambda x: F.nt_xent(x[:6], x[6:], temperature=0.2),
        )

    def agree(self, theirs, ours):
        results = []
        for loss in (theirs, ours):
            x = X.clone().requires_grad_()
            value = loss(x)
            value.backward()
            results.append((value.detach(), x.grad))
        (a, da), (b, db) = results
        assert torch.isclose(a, b, rtol=1e-5)
        assert torch.allclose(da, db, rtol=1e-4, atol=1e-6)
