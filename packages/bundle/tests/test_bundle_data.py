"""What is taken away for the curve of missing features, and collaborative vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nearfar_bundle.catalogue import Catalogue, incidence
from nearfar_bundle.collaborative import LightGCN, collaborative_vectors, normalised
from nearfar_bundle.data import with_missing
from nearfar_bundle.readers import read
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.simulate import simulate, write_simulated


def test_features_are_taken_away_each_by_itself(shop):
    pictures = np.ones((len(shop), 3), np.float32)
    less = with_missing(replace(shop, vectors={"picture": pictures}), 0.5, 0)
    gone = np.array([
        [text == "" for text in less.texts["title"]], [own == () for own in less.labels["kind"]],
        np.isnan(less.vectors["picture"]).all(1),
    ])  # fmt: skip
    assert (np.abs(gone.mean(1) - 0.5) < 0.15).all()
    assert 0.05 < gone.all(0).mean() < 0.25  # an eighth: drawn apart
    kept = [text for text in less.texts["title"] if text]
    assert kept == [t for t, out in zip(shop.texts["title"], gone[0], strict=True) if not out]
    assert (less.vectors["picture"][~gone[2]] == 1).all()
    assert with_missing(shop, 0.5, 0).texts == with_missing(shop, 0.5, 0).texts
    assert with_missing(shop, 0.5, 1).texts != with_missing(shop, 0.5, 0).texts


@given(st.integers(0, 2**32 - 1))
def test_light_gcn_is_the_mean_of_its_layers(seed):
    rng = np.random.default_rng(seed)
    taken = (rng.random((4, 6)) < 0.4).astype(np.float32)
    graph = np.zeros((10, 10))
    graph[:4, 4:], graph[4:, :4] = taken, taken.T
    degree = graph.sum(1)
    scale = np.divide(1, np.sqrt(degree), out=np.zeros(10), where=degree > 0)
    graph = scale[:, None] * graph * scale
    assert np.allclose(normalised(csr_matrix(taken)).toarray(), graph, atol=1e-6)
    torch.manual_seed(0)
    model = LightGCN(csr_matrix(taken), 3, 2)
    table = model.table.detach().double().numpy()
    want = (table + graph @ table + graph @ graph @ table) / 3
    assert np.allclose(model().detach().numpy(), want, atol=1e-5)


def test_collaborative_vectors_know_nothing_of_bundles():
    """Users 0 to 5 took whole bundles; what is learnt from is what others took besides."""
    rows = [(n, 3 * n + k) for n in range(6) for k in range(3)]
    known = Catalogue("k", np.arange(24).astype(str), incidence(np.array(rows), 6, 24),
                      np.arange(6).astype(str))  # fmt: skip
    other = [(6, 18), (6, 19), (7, 18), (7, 20)]
    settings = BundleSettings(cf_width=4, cf_epochs=1)
    assert collaborative_vectors(replace(known, feedback=np.array(rows)), settings, 0) is None
    found = collaborative_vectors(replace(known, feedback=np.array(rows + other)), settings, 0)
    assert np.flatnonzero(~np.isnan(found).any(1)).tolist() == [18, 19, 20]


def test_what_simulate_writes_is_the_shop(tmp_path):
    write_simulated(tmp_path, seed=3)
    found, shop = read(tmp_path), simulate(seed=3)

    def named(known, pairs):
        return {(int(holder), known.items[item]) for holder, item in pairs}

    assert sorted(found.items) == sorted(shop.items)
    assert named(found, found.feedback) == named(shop, shop.feedback)
    assert named(found, np.transpose(found.bundles.nonzero())) == named(
        shop, np.transpose(shop.bundles.nonzero())
    )
    for known in (found, shop):
        assert len(known.prices) == len(known)
    told = dict(zip(found.items, zip(found.texts["title"], found.prices, strict=True), strict=True))
    assert told == dict(
        zip(shop.items, zip(shop.texts["title"], shop.prices, strict=True), strict=True)
    )
