"""Bundles under limits, and whether a reason tells what is so."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from nearfar_bundle import construct as module
from nearfar_bundle.construct import Limits, construct, places_left
from nearfar_bundle.reasons import _deepest, _whole
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.split import split_bundles
from nearfar_bundle.train import train
from nearfar_kit.errors import UserError

CARTS = {f"cart {n}": [f"item {n}", f"item {n + 40}"] for n in range(40)}


def reasons_of(builder, **changed):
    """Reasons of carts, weights of the evidence changed: of a modality, or ``ridge``."""
    builder = replace(builder, model=deepcopy(builder.model))
    evidence = builder.model.evidence
    with torch.no_grad():
        evidence.ridge.copy_(torch.tensor([changed.pop("ridge", 0.0), 10.0]))
        for name, weight in changed.items():
            evidence.weight[[block.name for block in builder.blocks].index(name)] = weight
    return construct(builder, CARTS, 5)


class TestReasons:
    def test_words_are_those_that_both_have(self, builder, shop):
        title = dict(zip(shop.items.tolist(), shop.texts["title"], strict=True))
        frame = reasons_of(builder, title=1e3)
        own = frame.filter(pl.col("reason").str.starts_with("title: shares "))
        assert len(own) > 100
        for bundle, item, reason in own.select("bundle", "item", "reason").iter_rows():
            words, nearest = reason.removeprefix("title: shares ").split("; nearest ")
            assert nearest in CARTS[bundle]
            given = [title[one].lower() for one in CARTS[bundle]]
            for word in words.split(", "):
                assert word in title[item].lower()
                assert any(word in text for text in given), (word, given)

    def test_company_counts_who_has_both(self, builder):
        frame = reasons_of(builder, bundles=1e5)
        held = builder.blocks[[block.name for block in builder.blocks].index("bundles")].rows > 0
        number = {str(name): n for n, name in enumerate(builder.items)}
        own = frame.filter(pl.col("reason").str.starts_with("bundles: "))
        assert len(own)
        for bundle, item, reason in own.select("bundle", "item", "reason").iter_rows():
            given = held[[number[one] for one in CARTS[bundle]]].toarray().any(0)
            count = int((given & held[number[item]].toarray()[0]).sum())
            assert reason.startswith(f"bundles: {count} bundle{'s have' if count > 1 else ' has'} ")

    def test_ridge_regression_is_told_of(self, builder):
        best = reasons_of(builder, ridge=1e6).filter(pl.col("rank") == 1)
        assert best["reason"].str.starts_with("company: ").all()
        assert best["reason"].str.contains(r"1 bundle or user has|\d bundles or users have").any()

    def test_an_item_that_nothing_given_speaks_for(self, builder):
        names = [block.name for block in builder.blocks]
        frame = reasons_of(builder, **dict.fromkeys(names, 0.0))
        assert frame["reason"].str.starts_with("nothing given speaks for it").all()

    def test_vectors(self, shop):
        vectors = np.random.default_rng(0).random((len(shop), 4), np.float32)
        split = split_bundles(replace(shop, vectors={"picture": vectors}), 0)
        frame = reasons_of(train(split, BundleSettings(epochs=1), 0), picture=1e5)
        assert frame["reason"].str.starts_with("picture: vectors alike; nearest item ").all()

    def test_words_are_whole_and_none_is_told_twice(self):
        assert _whole(["0 sli", "pci-express 3", "sli", "sli ready"]) == [
            "sli ready",
            "pci-express",
        ]
        assert _whole(["blue", "alto blue", "running", "hat", "bag"]) == [
            "alto blue",
            "running",
            "hat",
        ]
        assert _whole(["3", "0"]) == ["3", "0"]  # nothing better is there

    def test_of_labels_the_deepest(self):
        assert _deepest(["A > B > C", "A > B", "A", "Am"]) == ["A > B > C", "Am"]


class TestLimits:
    def test_what_is_excluded_need_not_be_there(self, builder):
        plain = construct(builder, {"a": ["item 1"]}, 3)
        assert construct(builder, {"a": ["item 1"]}, 3, Limits(exclude={"cup 7"})).equals(plain)

    def test_errors_name_what_python_has(self, builder):
        bare = replace(builder, prices=None, labels={})
        for limits in (Limits(budget=1.0), Limits(each={"hat": 1})):
            with pytest.raises(UserError, match=r"^(budget|each): no item has"):
                construct(bare, {"a": ["item 1"]}, 3, limits)

    @pytest.mark.parametrize(
        "limits", [Limits(budget=260.0), Limits(each={"shirt": 0, "*": 1}), Limits(budget=1e4)]
    )
    def test_what_fits_is_found_wherever_it_stands(self, builder, monkeypatch, limits):
        whole = construct(builder, {"a": ["item 1"]}, 4, limits)
        monkeypatch.setattr(module, "POOL", 4)
        assert construct(builder, {"a": ["item 1"]}, 4, limits).equals(whole)

    def test_an_exhausted_catalogue(self, builder):
        frame = construct(builder, {"a": ["item 1"], "b": ["item 2"]}, 200)
        assert places_left(frame, ["a", "b"], 200, Limits()) == [
            "2 bundles have 82 of 400 places left: there are no other items"
        ]
        assert places_left(frame, ["a", "b"], 159, Limits()) == []

    def test_each_limit_is_named(self, builder):
        limits = Limits(budget=400.0, each={"*": 0})
        frame = construct(builder, {"a": ["item 1"]}, 3, limits)
        assert places_left(frame, ["a"], 3, limits) == [
            "bundle a: 3 of 3 places left: nothing else within the budget of 400 and --each *=0"
        ]
