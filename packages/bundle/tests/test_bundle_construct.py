"""Bundles under limits, and whether a reason tells what is so."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from nearfar_bundle import construct as module
from nearfar_bundle.carts import completable
from nearfar_bundle.construct import Limits, construct
from nearfar_bundle.places import places_left
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
        carts = {"a": ["item 1"], "b": ["item 2"]}
        frame = construct(builder, carts, 200)
        assert places_left(builder, frame, carts, 200, Limits()) == [
            "2 bundles have 82 of 400 places left: there are no other items"
        ]
        assert places_left(builder, frame, carts, 159, Limits()) == []

    def test_each_limit_is_named(self, builder):
        limits = Limits(budget=400.0, each={"*": 0})
        carts = {"a": ["item 1"], "b": ["item 2"]}
        frame = construct(builder, carts, 3, limits)
        one = {"a": carts["a"]}
        assert places_left(builder, frame.filter(pl.col("bundle") == "a"), one, 3, limits) == [
            "bundle a: 3 of 3 places left: nothing else within --each *=0"
        ]
        assert places_left(builder, frame, carts, 3, limits) == [
            "2 bundles have 6 of 6 places left: nothing else within what is left of the budget of "
            "400 and --each *=0"
        ]

    def test_what_is_left_of_a_budget_and_what_the_cheapest_costs(self, builder):
        prices = np.full(160, 50.0)
        prices[:5] = [0.1, 0.2, 60.0, np.nan, 70.0]
        own, carts = replace(builder, prices=prices), {"a": ["item 0"]}
        limits = Limits(budget=1.0)
        frame = construct(own, carts, 3, limits)
        assert frame["item"].to_list() == ["item 1"]
        assert places_left(own, frame, carts, 3, limits) == [
            "bundle a: 2 of 3 places left: 0.7 of the budget of 1 left, and the cheapest other "
            "item costs 50"
        ]
        unpriced = replace(builder, prices=np.where(prices == 0.1, 0.1, np.nan))
        frame = construct(unpriced, carts, 3, limits)
        (told,) = places_left(unpriced, frame, carts, 3, limits)
        assert told.endswith("3 of 3 places left: no other item has a price")

    def test_a_sum_of_prices_may_be_rounded(self, builder):
        prices = np.full(160, 9.0)
        prices[:2] = [0.1, 0.2]
        own = replace(builder, prices=prices)  # in floats their sum is above 0.3
        frame = construct(own, {"a": ["item 0"]}, 1, Limits(budget=0.3))
        assert frame["item"].to_list() == ["item 1"]


class TestCarts:
    def test_what_cannot_be_completed_is_told_and_left_out(self, builder):
        prices = np.full(160, 1.0)
        prices[9] = 90.0
        own = replace(builder, prices=prices)
        own.settings = builder.settings.model_copy(update={"longest": 6})
        carts = {
            "a": ["item 1", "soap", "salt"], "b": ["soap"], "c": [], "d": ["item 9"],
            "e": [f"item {n}" for n in range(20, 27)],
        }  # fmt: skip
        found, notes = completable(own, carts, Limits(budget=80.0))
        assert found == {"a": ["item 1"]}
        assert notes == [
            "3 of 12 items are not in the catalogue of 160, left out: soap (bundle a), salt "
            "(bundle a), soap (bundle b)",
            "2 bundles hold no item of the catalogue, left out: b, c",
            "1 bundle holds more than 6 items (longest), left out: e (7)",
            "1 bundle costs more than the budget already, left out: d (90)",
        ]
        assert completable(own, {"a": ["item 1"]}, Limits()) == ({"a": ["item 1"]}, [])

    def test_what_is_included_counts(self, builder):
        prices = np.full(160, 50.0)
        own = replace(builder, prices=prices)
        limits = Limits(budget=110.0, include=("item 5",))
        carts = {"a": ["item 1", "item 2"], "b": ["item 1", "item 5"]}
        assert list(completable(own, carts, limits)[0]) == ["b"]

    def test_where_nothing_is_left_all_come_back(self, builder):
        carts = {"a": ["soap"], "b": []}
        assert completable(builder, carts, Limits()) == (carts, [])
