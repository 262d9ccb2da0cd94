"""Blocking: the pairs of its rule and no others, counted before they are made."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar_kit.errors import UserError
from nearfar_tables.blocking import block, estimate_pairs

WORDS = ["aa", "bb", "cc", "dd", "ee"]


def dense(texts, source, shared, most):
    """All pairs, by sets."""
    rows = [set((text or "").split()) for text in texts]
    holders = {w: sum(w in row for row in rows) for w in WORDS}
    found = []
    for i, j in combinations(range(len(rows)), 2):
        common = [w for w in rows[i] & rows[j] if holders[w] <= most]
        rare = any(holders[w] == 2 for w in common)
        if (len(common) >= shared or rare) and (source is None or source[i] != source[j]):
            found.append((i, j))
    return found


@settings(max_examples=15)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=4), min_size=1, max_size=9),
    st.integers(1, 3),
    st.integers(2, 6),
    st.booleans(),
)
def test_against_all_pairs(rows, shared, most, two_sources):
    texts = [" ".join(row) or None for row in rows]
    source = np.arange(len(rows)) % 2 if two_sources else None
    frame = pl.DataFrame({"t": pl.Series(texts, dtype=pl.String)})
    pairs = block(frame, source=source, shared_tokens=shared, token_rows=most)
    assert [tuple(pair) for pair in pairs.tolist()] == dense(texts, source, shared, most)
    assert len(pairs) <= estimate_pairs(frame, source=source, token_rows=most)


def test_the_estimate_is_exact_where_rows_share_one_word():
    frame = pl.DataFrame({"t": ["aa", "aa", "aa", "bb"]})
    assert estimate_pairs(frame) == 3
    assert estimate_pairs(frame, source=np.array([0, 0, 1, 1])) == 2


def test_a_slip_at_a_words_end_and_numbers_do_not_part_rows():
    frame = pl.DataFrame({"name": ["Internazionale", "internazionals"], "n": [12, 34]})
    assert block(frame).tolist() == [[0, 1]]


def test_in_a_large_table_two_frequent_words_are_a_key():
    """Ten given names and ten surnames by ten years: names are held by 100 rows of 1000 each, two
    of them by ten."""
    threes = product(range(10), repeat=3)
    frame = pl.DataFrame({"t": [f"given{g} family{f} {1900 + y}" for g, f, y in threes]})
    rows = frame["t"].to_list()
    assert not len(block(frame, token_rows=50))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nearfar_tables.blocking.CHANCE", 10.1)
        pairs = block(frame, token_rows=50)
        two = [set(rows[a].split()) & set(rows[b].split()) for a, b in pairs.tolist()]
        assert {len(shared) for shared in two} == {2}
        assert len(pairs) == 3 * 100 * 45  # each two words of three, in each of 100 ways
        assert len(pairs) <= estimate_pairs(frame, token_rows=50)
        assert not len(block(frame, token_rows=9))


def test_any_number_of_threads_finds_the_same():
    frame = pl.DataFrame({"t": [f"w{n // 4}x w{n // 3}y w{n % 5}z" for n in range(600)]})
    one, two = (block(frame, threads=threads) for threads in (1, 2))
    assert len(one) > 300
    np.testing.assert_array_equal(one, two)


def test_the_cap_refuses_before_the_join():
    frame = pl.DataFrame({"t": ["same words"] * 40})
    with pytest.raises(UserError, match="would make up to 1560 pairs; expected 100 at most"):
        block(frame, most_pairs=100)
    with pytest.raises(UserError, match="no column 'x'"):
        block(frame, columns=["x"])


@pytest.mark.parametrize("frame", [pl.DataFrame({"t": ["a b"]}), pl.DataFrame({"t": [None, None]}),
                                   pl.DataFrame({"t": []})])  # fmt: skip
def test_nothing_to_pair(frame):
    assert block(frame).shape == (0, 2)
