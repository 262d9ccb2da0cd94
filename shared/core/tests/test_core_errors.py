"""Bad input: an error that names the argument, its shape and what was expected."""

from __future__ import annotations

import pytest
import torch

import nearfar
import nearfar.functional as F
from nearfar.targets import Factored, Listed, Teacher

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def with_nan():
    x = X.clone()
    x[3, 1] = torch.nan
    return x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.info_nce(X, X[:, :3]), r"keys has rows of 3 numbers; expected 4"),
        (lambda: F.info_nce(X, X[:5]), r"keys has 5 rows; expected 6, one a row of queries"),
        (lambda: F.info_nce(X[0], X), r"queries is torch.float32 of shape \(4,\)"),
        (lambda: F.info_nce(X.long(), X), r"queries is torch.int64 of shape \(6, 4\)"),
        (lambda: F.nt_xent(X[:0], X[:0]), r"view_a is empty, shape \(0, 4\)"),
        (lambda: F.nt_xent(X, with_nan()), r"view_b, shape \(6, 4\), has NaN or infinity in row 3"),
        (lambda: F.nt_xent(X, X[:2]), r"view_b has 2 rows; expected 6"),
        (lambda: F.nt_xent(X, X, temperature=0.0), r"temperature is 0; expected above 0"),
        (lambda: F.nt_xent(X, X, temperature=torch.ones(5)), r"expected one number or \(12,\)"),
        (lambda: F.clip(X, X, logit_scale=-1.0), r"logit_scale is -1; expected above 0"),
        (lambda: F.clip(X, X.double()), r"text is torch.float64; expected torch.float32"),
        (lambda: F.nt_xent(X.double(), X), r"view_b is torch.float32; expected torch.float64"),
        (lambda: F.sup_con(X, LABELS[:4]), r"labels is torch.int64 of shape \(4,\); .* \(6,\)"),
        (lambda: F.sup_con(X, torch.arange(6)), r"none of 6 rows has a positive"),
        (lambda: F.sup_con(X, LABELS, reference=X), r"expected both or neither"),
        (lambda: F.sup_con(X, LABELS, positives="up"), r"positives is 'up'"),
        (
            lambda: F.linear_binary_cross_entropy(X, X, LABELS),
            r"positives is torch.int64 of shape \(6,\); expected integers \[6, k\]",
        ),
        (
            lambda: F.linear_binary_cross_entropy(X, X, torch.full((6, 1), 6)),
            r"positives is 6 to 6; expected -1, for none, to 5",
        ),
        (
            lambda: F.linear_binary_cross_entropy(X, X, LABELS[:, None], bias=X[0]),
            r"bias has shape \(4,\); expected \(6,\)",
        ),
        (lambda: F.dcl(X, X, reduction="avg"), r"reduction is 'avg'"),
        (lambda: F.dcl(X, X, path="fast"), r"path is 'fast'; expected one of reference, streaming"),
        (lambda: F.dcl(X, X, path="triton"), r"path is 'triton' for a cpu device"),
        (
            lambda: F.soft_targets(X, X, Listed(torch.full((6, 1), 6), torch.ones(6, 1))),
            r"an index outside the keys; expected 0 to 5",
        ),
        (lambda: F.mi_mix(X, X, Listed(LABELS[:, None], X[:, :1]), beta=-1.0), r"beta is -1.0"),
        (lambda: F.soft_targets(X, X, Factored(X[:2], X)), r"expected \[6, F\] and \[6, F\]"),
        (lambda: F.multi_view_weighted(X, X), r"positives has shape \(6, 4\); expected \[views"),
        (
            lambda: F.multi_view_weighted(X, X[None], positive_weights=torch.tensor([-1.0])),
            r"expected 1 numbers >= 0",
        ),
        (
            lambda: F.info_nce(X, X, own_negatives=X),
            r"own_negatives has shape \(6, 4\); expected \[6, h, D\]",
        ),
        (
            lambda: F.info_nce(X, X, own_negatives=X[:, None, :3]),
            r"own_negatives has rows of 3 numbers; expected 4",
        ),
        (
            lambda: F.info_nce(X, X, ignored=LABELS[:3, None]),
            r"ignored has 3 rows; expected 6, one a query",
        ),
        (
            lambda: F.info_nce(X, X, ignored=LABELS),
            r"unlisted: index is torch.int64 of shape \(6,\); expected integers \[N, k\]",
        ),
        (
            lambda: F.info_nce(X, X, ignored=LABELS[:, None], symmetric=True),
            r"symmetric goes without negatives, own_negatives and ignored",
        ),
        (
            lambda: F.soft_targets(X, X, Teacher(X[:2], X, 0.1)),
            r"targets: rows \(2, 4\) and cols \(6, 4\); expected \[6, F\] and \[6, F\]",
        ),
        (
            lambda: F.soft_targets(X, X, Teacher(X, X, 0.0)),
            r"targets: temperature is 0.0; expected above 0",
        ),
        (lambda: nearfar.AMCL(4, heads=0), r"heads is 0; expected at least 1"),
        (lambda: nearfar.pairs.same(X[:, 0], LABELS), r"same: rows is torch.float32"),
    ],
)
def test_names_the_argument(call, message, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match=message):
        call()


def test_an_unknown_path_in_the_environment(monkeypatch):
    monkeypatch.setenv("NEARFAR_PATH", "warp")
    with pytest.raises(ValueError, match="NEARFAR_PATH is 'warp'"):
        nearfar.loss_path()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.nt_xent(X.numpy(), X), "view_a is a ndarray; expected a tensor"),
        (lambda: F.sup_con(X, LABELS.tolist()), "labels is a list; expected a tensor"),
    ],
)
def test_what_is_no_tensor(call, message):
    with pytest.raises(TypeError, match=message):
        call()
