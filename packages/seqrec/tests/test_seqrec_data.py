"""Filters, splits and batches: nothing is lost, nothing leaks, all is reproducible."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar_kit.errors import UserError
from nearfar_seqrec.batches import Batches
from nearfar_seqrec.filtering import dense_core, k_core, most_recent
from nearfar_seqrec.readers import read
from nearfar_seqrec.sequences import Sequences, sequences_of
from nearfar_seqrec.simulate import simulate, write_simulated
from nearfar_seqrec.split import by_time, leave_one_out

SEQUENCES = st.lists(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=14), min_size=2, max_size=8
)


def made(lists) -> Sequences:
    return sequences_of((f"u{n}", items) for n, items in enumerate(lists))


def timed(lists, times) -> Sequences:
    s = made(lists)
    return Sequences(s.users, s.items, s.flat, s.start, np.array(times, dtype=float))


def dense_k_core(lists, user_min, item_min):
    """By dropping one at a time."""
    lists = {f"u{n}": list(items) for n, items in enumerate(lists)}
    while True:
        counts = Counter(i for items in lists.values() for i in items)
        rare = {i for i, n in counts.items() if n < item_min}
        short = [u for u, items in lists.items() if len(items) < user_min]
        if short:
            del lists[short[0]]
        elif rare:
            one = min(rare)
            lists = {u: [i for i in items if i != one] for u, items in lists.items()}
        else:
            few = len({item for items in lists.values() for item in items}) < 2
            return {} if few else lists  # among one item nothing is to be foretold


class TestFilters:
    @given(SEQUENCES, st.integers(1, 4), st.integers(1, 4))
    def test_k_core_is_the_largest_such_part(self, lists, user_min, item_min):
        want = dense_k_core(lists, user_min, item_min)
        if not want:
            with pytest.raises(UserError, match=r"filter: (nothing|one item) is left of"):
                k_core(made(lists), user_min, item_min)
            return
        got = k_core(made(lists), user_min, item_min)
        assert {str(u): got.names(got.of(n)) for n, u in enumerate(got.users)} == want
        assert sorted(set(got.flat)) == list(range(1, len(got.items) + 1))

    @given(SEQUENCES, st.integers(1, 3), st.integers(0, 40), st.sampled_from([0, 3, 5]))
    def test_dense_core_is_the_first_that_is_small_enough(self, lists, least, most, recent):
        whole = made(lists)
        cores = [
            {user: items[-recent:] for user, items in core.items()}
            for core in (dense_k_core(lists, least + n, least + n + 1) for n in range(20))
        ]
        sizes = [sum(map(len, core.values())) for core in cores]
        first = next(n for n, size in enumerate(sizes) if not most or size <= most)
        if not sizes[first]:
            expected = "no core holds at most" if first else "(nothing|one item) is left of"
            with pytest.raises(UserError, match=f"filter: {expected}"):
                dense_core(whole, least, least + 1, most, recent)
            return
        got = dense_core(whole, least, least + 1, most, recent)
        assert {str(u): got.names(got.of(n)) for n, u in enumerate(got.users)} == cores[first]
        told = f"at least {least + first} interactions a user and {least + first + 1} an item, "
        raised = [note for note in got.notes if note.endswith("the setting most")]
        assert [note.startswith(told) for note in raised] == [True] * (first > 0)
        lost = 2 * len(k_core(whole, least, least + 1).flat) < len(whole.flat)
        assert len(got.notes) == len(raised) + lost

    @given(SEQUENCES, st.integers(1, 9))
    def test_most_recent(self, lists, count):
        got = most_recent(made(lists), count)
        assert [got.names(got.of(n)) for n in range(len(got))] == [x[-count:] for x in lists]


class TestLeaveOneOut:
    @given(SEQUENCES)
    def test_last_two_are_asked_for_in_turn(self, lists):
        if max(map(len, lists)) < 3:
            with pytest.raises(UserError, match=r"none of \d users has 3 interactions"):
                leave_one_out(made(lists))
            return
        split = leave_one_out(made(lists))
        names = split.sequences.names
        long = [items for items in lists if len(items) >= 3]
        assert names(split.targets(split.test)) == [items[-1] for items in long]
        assert names(split.targets(split.valid)) == [items[-2] for items in long]
        for row, items in zip(split.histories(split.test, 5), long, strict=True):
            assert names(row) == items[:-1][-5:]
        assert split.train_end.tolist() == [len(x) - 2 if len(x) >= 3 else len(x) for x in lists]
        assert bool(split.notes) == (len(long) < len(lists))

    def test_train_counts_leave_out_what_is_held_out(self):
        assert leave_one_out(made(["abcab"])).train_counts().tolist() == [0, 1, 1, 1]


class TestByTime:
    def test_one_moment_divides_all_users(self):
        split = by_time(timed(["abcde", "fgh"], [0, 1, 2, 6, 9, 3, 7, 8]), valid=0.25, test=0.25)
        assert split.train_end.tolist() == [3, 1]
        assert split.sequences.names(split.targets(split.valid)) == ["d", "g"]
        assert split.sequences.names(split.targets(split.test)) == ["e", "h"]

    def test_who_begins_later_is_not_asked_for_the_first_item(self):
        split = by_time(timed(["abcde", "fg"], [0, 1, 2, 5, 8, 6, 9]), valid=0.25, test=0.3)
        assert split.sequences.names(split.targets(split.test)) == ["e", "g"]
        assert split.notes == (
            "1 users begin after the training's end; their first item is not asked for",
        )

    def test_without_times_or_with_one_moment(self):
        with pytest.raises(UserError, match="the data has no times"):
            by_time(made(["abc"]))
        with pytest.raises(UserError, match="the train part is empty"):
            by_time(timed(["abc"], [1, 1, 1]))


def items_of(row):
    return row[row > 0].tolist()


class TestBatches:
    @settings(max_examples=40)
    @given(SEQUENCES, st.integers(1, 5), st.sampled_from(["positions", "prefix"]), st.booleans())
    def test_each_target_comes_once_an_epoch_after_what_was_before_it(
        self, lists, longest, mode, alike
    ):
        if max(map(len, lists)) < 3:
            return
        split = leave_one_out(made(lists))
        train = [split.sequences.of(u)[:end].tolist() for u, end in enumerate(split.train_end)]
        want = Counter(t for items in train for t in items[1:])
        if sum(want.values()) < 2:
            with pytest.raises(UserError, match="fewer than two targets"):
                Batches(split, mode=mode, longest=longest, size=4, seed=0)
            return
        pairs = {(a, b) for items in train for a, b in pairwise(items)}
        batches = Batches(split, mode=mode, longest=longest, size=4, seed=0, want_alike=alike)
        asked: Counter[int] = Counter()
        for batch in batches.epoch(3):
            assert len(batch) <= 4 + 1
            assert batch.items.shape[1] <= longest
            for items, targets in zip(batch.items.tolist(), batch.targets.tolist(), strict=True):
                for before, target in zip(items, targets, strict=True):
                    if target:
                        assert (before, target) in pairs
                        asked[target] += 1
            for rows, length in ((batch.prefix, batch.prefix_length),
                                 (batch.alike, batch.alike_length)):  # fmt: skip
                assert ((rows > 0).sum(1) == length).all()
        assert asked == want

    def test_prefix_rows_are_recboles_prefixes(self):
        split = leave_one_out(made(["abcdefg"]))
        rows = [
            (items_of(items), items_of(targets))
            for batch in Batches(split, mode="prefix", longest=3, size=9, seed=1).epoch(0)
            for items, targets in zip(batch.items, batch.targets, strict=True)
        ]
        assert sorted(rows) == [([1], [2]), ([1, 2], [3]), ([1, 2, 3], [4]), ([2, 3, 4], [5])]

    def test_position_rows_stand_together(self):
        split = leave_one_out(made(["abcdefgh"]))  # trained on: a to f
        rows = [
            (items_of(items), items_of(targets))
            for batch in Batches(split, mode="positions", longest=3, size=9, seed=1).epoch(0)
            for items, targets in zip(batch.items, batch.targets, strict=True)
        ]
        assert sorted(rows) == [([1, 2], [2, 3]), ([3, 4, 5], [4, 5, 6])]

    @pytest.mark.parametrize("mode", ["positions", "prefix"])
    def test_alike_histories_come_before_the_same_item(self, mode):
        lists = ["axbxcxdd", "exfxgxdd", "hxy" + "zz"]
        split = leave_one_out(made(lists))
        batches = Batches(split, mode=mode, longest=9, size=50, seed=0, want_alike=True)
        train = [split.sequences.of(u)[:end].tolist() for u, end in enumerate(split.train_end)]
        after = {}
        for items in train:
            for place in range(1, len(items)):
                after.setdefault(tuple(items[:place]), items[place])
        for epoch in range(5):
            for batch in batches.epoch(epoch):
                for one, other in zip(batch.prefix, batch.alike, strict=True):
                    one, other = tuple(items_of(one)), tuple(items_of(other))
                    assert after[one] == after[other]
                    rivals = [k for k, v in after.items() if v == after[one]]
                    assert (one == other) == (len(rivals) == 1)

    def test_the_order_follows_from_seed_and_epoch(self):
        split = leave_one_out(made(["abcdefg", "bcdefga", "cdefgab"]))

        def epoch(seed, number):
            batches = Batches(split, mode="positions", longest=2, size=2, seed=seed)
            return [batch.items.tolist() for batch in batches.epoch(number)]

        assert epoch(0, 1) == epoch(0, 1)
        assert epoch(0, 1) != epoch(0, 2)
        assert epoch(0, 1) != epoch(1, 1)


def test_what_simulate_writes_is_the_shop(tmp_path):
    write_simulated(tmp_path, seed=3)
    found = read(tmp_path / "clicks.csv")
    known = simulate(600, 12, shortest=6, longest=12, seed=3)
    place = {name: number for number, name in enumerate(found.users)}
    assert place.keys() == set(known.users)
    for number, name in enumerate(known.users):
        assert found.names(found.of(place[name])) == known.names(known.of(number))
