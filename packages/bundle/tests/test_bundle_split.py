"""Splits that give nothing away, and leaks that are seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar_bundle.catalogue import Catalogue, catalogue_of, incidence
from nearfar_bundle.leak import check_leak
from nearfar_bundle.readers import read
from nearfar_bundle.split import kin, near_pairs, split_bundles, unique_bundles
from nearfar_kit.errors import UserError

KEY = "nearly all items in one user's feedback"
DATA = Path(__file__).parents[4] / "shared" / "data" / "bundle"


def bundles_of(rows: list[set[int]], items: int = 12):
    return incidence(
        np.array([(r, i) for r, own in enumerate(rows) for i in own], np.int64), len(rows), items
    )


sets = st.lists(st.sets(st.integers(0, 11), min_size=1, max_size=6), min_size=2, max_size=12)


@given(sets)
def test_near_pairs_are_those_of_the_jaccard_index(rows):
    found = near_pairs(bundles_of(rows), bundles_of(rows), 0.5).toarray()
    for a, left in enumerate(rows):
        for b, right in enumerate(rows):
            index = len(left & right) / len(left | right)
            assert found[a, b] == pytest.approx(index if index > 0.5 else 0.0)


@given(sets)
def test_each_set_of_items_once(rows):
    kept = unique_bundles(bundles_of(rows))
    assert len(kept) == len({frozenset(own) for own in rows})


def test_kin_are_sessions_and_near_duplicates_and_their_kin():
    rows = [{0, 1, 2}, {0, 1, 2, 3}, {5, 6}, {7, 8}, {9}]
    known = Catalogue(
        "k", np.arange(12).astype(str), bundles_of(rows), np.arange(5).astype(str),
        sessions=np.array([0, 1, 1, 2, 3]),
    )  # fmt: skip
    group = kin(known, np.arange(5))
    assert group[0] == group[1] == group[2]
    assert len({group[2], group[3], group[4]}) == 3


class TestSplit:
    def test_parts(self, shop, split):
        parts = [
            set(own.tolist()) for own in (split.train, split.valid.bundles, split.test.bundles)
        ]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        for asked in (split.valid, split.test):
            whole = shop.bundles[asked.bundles]
            assert ((asked.shown + asked.hidden) != whole).nnz == 0
            size, shown = np.asarray(whole.sum(1)).ravel(), np.asarray(asked.shown.sum(1)).ravel()
            assert (shown == np.maximum(1, size // 2)).all()

    def test_one_seed_one_split(self, shop, split):
        again, other = split_bundles(shop, 0), split_bundles(shop, 1)
        assert again.test.bundles.tolist() == split.test.bundles.tolist()
        assert (again.test.shown != split.test.shown).nnz == 0
        assert other.test.bundles.tolist() != split.test.bundles.tolist()

    def test_too_few_bundles(self):
        known = catalogue_of("two", [("a", "x"), ("a", "y"), ("b", "x"), ("b", "z")])
        with pytest.raises(UserError, match="fall into 2 groups of kin"):
            split_bundles(known)


class TestLeak:
    def test_the_shop_has_none(self, split):
        assert not [str(leak) for leak in check_leak(split) if leak.found]

    @pytest.mark.parametrize("share", [1.0, 0.8])
    def test_a_planted_answer_key_is_seen_and_taken_out(self, shop, share):
        """A user a bundle, who took that share of it and is not said to own it."""
        pairs = shop.bundles.tocoo()
        place = np.arange(shop.bundles.nnz) - shop.bundles.indptr[pairs.row]
        size = np.diff(shop.bundles.indptr)[pairs.row]
        own = place < np.ceil(share * size)
        key = np.stack([pairs.row[own], pairs.col[own]], 1).astype(np.int64)
        planted = replace(shop, feedback=np.unique(key, axis=0))
        split = split_bundles(planted, 0)
        found = check_leak(replace(split, catalogue=planted))
        assert [leak.what for leak in found if leak.found] == [KEY]
        assert not [str(leak) for leak in check_leak(split) if leak.found]
        held_out = np.concatenate([split.valid.bundles, split.test.bundles])
        assert not np.isin(split.catalogue.feedback[:, 0], held_out).any()

    def test_owners_of_held_out_bundles_are_freed_of_them_alone(self, shop, split):
        """An owner who took one item of the bundle, and something else."""
        bundle = int(split.test.bundles[0])
        inside = int(shop.bundles[bundle].indices[0])
        outside = int(np.flatnonzero(shop.bundles[bundle].toarray()[0] == 0)[0])
        feedback = np.array([(0, inside), (0, outside), (1, inside)])
        owned = replace(shop, feedback=feedback, owners=np.array([(0, bundle)]))
        assert split_bundles(owned, 0).catalogue.feedback.tolist() == [[0, outside], [1, inside]]

    def test_some_of_a_bundle_is_no_answer(self, shop, split):
        """Feedback that holds half of a held-out bundle is evidence like any other."""
        bundle = next(b for b in split.test.bundles if shop.bundles[b].nnz == 4)
        half = shop.bundles[bundle].indices[:2]
        known = replace(shop, feedback=np.array([(0, int(item)) for item in half]))
        assert len(split_bundles(known, 0).catalogue.feedback) == 2

    def test_a_planted_near_duplicate_and_session(self, shop, split):
        copied = replace(split, train=np.append(split.train, split.test.bundles[0]))
        found = {leak.what: leak.found for leak in check_leak(copied)}
        assert found["the same items as a training bundle"]
        assert found["a Jaccard index above 0.5 with a training bundle"]
        sessions = np.arange(shop.bundles.shape[0])
        sessions[split.train[0]] = sessions[split.test.bundles[0]]
        shared = replace(split, catalogue=replace(split.catalogue, sessions=sessions))
        assert {leak.what: leak.found for leak in check_leak(shared)}[
            "the session of a training bundle"
        ]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("bundlerec_clothing", (4487, 1910, 4653)),
        ("bundlerec_electronic", (3499, 1750, 4461)),
        ("Youshu", (32770, 4771, 138515)),
        ("MealRecPlus_H", (7280, 3817, 151148)),
    ],
)
def test_real_sets_are_read_whole_and_split_honestly(name, counts):
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not in ../shared/data/bundle beside the repository")
    known = read(DATA / name)
    assert (len(known), known.bundles.shape[0], len(known.feedback)) == counts
    for seed in range(3):
        assert not [str(leak) for leak in check_leak(split_bundles(known, seed)) if leak.found]
