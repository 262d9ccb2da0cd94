"""Probes on embeddings that are made to tell what they tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nearfar_kit.errors import UserError
from nearfar_medical.sepclr.encoders import make_encoders
from nearfar_medical.sepclr.pairs import Pairs
from nearfar_medical.sepclr.probes import (
    as_table,
    delta_tot,
    probe,
    probe_population,
    probe_spaces,
    represent,
)
from nearfar_medical.sepclr.settings import SepCLRSettings

N = 400


def made(seed=0, leak=False):
    """Half targets; shape and size are the salient space's, site is the common one's."""
    rng = np.random.default_rng(seed)
    is_target = np.arange(N) % 2 == 1
    shape, site = rng.integers(0, 4, N), rng.integers(0, 2, N)
    size = rng.random(N)
    salient = np.concatenate([np.eye(4)[shape], size[:, None]], 1)
    common = np.eye(2)[site]
    if leak:
        common = np.concatenate([common, np.eye(4)[shape]], 1)
    pairs = Pairs(
        torch.zeros(N, 1, 2, 2),
        torch.from_numpy(is_target),
        {
            "shape": np.where(is_target, shape.astype("<U1"), ""),
            "size": np.where(is_target, size, np.nan),
            "site": site.astype("<U1"),
        },
    )
    return pairs, {"salient": salient, "common": common}


def cells(leak=False, **options):
    train, test = made(0, leak), made(1, leak)
    found = probe_spaces(*train, *test, salient=["shape", "size"], common=["site"], **options)
    return {(c.space, c.attribute): c for c in found}, found


def test_a_perfect_separation_is_near_its_ideal():
    by, found = cells()
    assert by["salient", "shape"].value == by["common", "site"].value == 1
    assert by["salient", "size"].value < 1e-6  # mean absolute error of a linear map
    assert by["common", "shape"].value == pytest.approx(0.25, abs=0.08)
    assert by["salient", "site"].value == pytest.approx(0.5, abs=0.1)
    assert by["common", "size"].value == pytest.approx(0.25, abs=0.03)  # of a uniform number
    assert delta_tot(found) == pytest.approx(sum(c.distance for c in found))
    assert delta_tot(found) < 0.25
    assert {c.rows for c in found} == {N // 2}  # targets alone


def test_a_leak_counts():
    by, found = cells(leak=True)
    assert by["common", "shape"].value == 1
    assert by["common", "shape"].distance == pytest.approx(0.75)
    assert delta_tot(found) > 0.75


def test_ideals_are_ceilings_and_chance():
    by, _ = cells(ceilings={"shape": 0.9}, metric="accuracy")
    assert by["salient", "shape"].ideal == 0.9
    assert by["common", "site"].ideal == 1
    assert by["salient", "size"].ideal == 0
    assert by["common", "shape"].metric == "accuracy"
    assert by["common", "shape"].ideal == pytest.approx(0.25, abs=0.08)


def test_a_small_scale_hides_nothing():
    _, spaces = made()
    pairs, _ = made()
    labels = pairs.attributes["site"]
    x = spaces["common"] * 1e-4
    assert probe(x, labels, x, labels) == 1
    rare = (np.arange(N) % 10 == 0).astype("<U5")
    assert probe(spaces["salient"], rare, spaces["salient"], rare) == pytest.approx(0.9)
    balanced = probe(spaces["salient"], rare, spaces["salient"], rare, metric="balanced_accuracy")
    assert balanced == pytest.approx(0.5)


def test_populations_are_told_apart_on_all_images():
    (train, spaces), (test, test_spaces) = made(0), made(1)
    spaces, test_spaces = dict(spaces), dict(test_spaces)
    for pairs, found in ((train, spaces), (test, test_spaces)):
        found["salient"] = found["salient"] * pairs.is_target.numpy()[:, None]
    cells = {c.space: c for c in probe_population(train, spaces, test, test_spaces)}
    assert cells["salient"].value == 1
    assert cells["common"].value == pytest.approx(0.5, abs=0.08)
    assert (cells["salient"].ideal, cells["common"].ideal) == (1, 0.5)
    assert cells["common"].rows == N


def test_a_table_says_all():
    _, found = cells()
    table = as_table(found)
    assert len(table.splitlines()) == 2 + 6 + 1
    assert f"{delta_tot(found):.3f}" in table
    assert "| salient | size | mae |" in table


def test_mistakes_are_told():
    train, test = made(0), made(1)
    with pytest.raises(UserError, match=r"attribute age: .*known: shape, size, site"):
        probe_spaces(*train, *test, salient=["age"])
    for values, message in ((np.full(N, "x"), "all x"), (np.full(N, ""), "0 targets have it")):
        train[0].attributes["shape"] = values
        with pytest.raises(UserError, match=message):
            probe_spaces(*train, *test, salient=["shape"])


def test_representations_are_frozen_and_whole():
    settings = SepCLRSettings(
        channels=1, widths=(2, 2, 2, 2), blocks=(1, 1, 1, 1), common_dims=5, salient_dims=3
    )
    encoders = make_encoders(settings, 0)
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    pairs = Pairs(images, torch.arange(7) > 3)
    before = {k: v.clone() for k, v in encoders.state_dict().items()}
    spaces = represent(encoders, pairs, batch=3)
    assert spaces["common"].shape == (7, 5)
    assert spaces["salient"].shape == (7, 3)
    assert all(torch.equal(before[k], v) for k, v in encoders.state_dict().items())
    assert encoders.training
    whole = represent(encoders, pairs)
    np.testing.assert_allclose(spaces["common"], whole["common"], atol=1e-5)
    heads = represent(encoders, pairs, head=True)
    assert heads["salient"].shape == (7, 3)
    assert not np.allclose(heads["salient"], whole["salient"])
