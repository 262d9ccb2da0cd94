"""Augmentations: what each keeps, on batches of any shape."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nearfar_seqrec import augment

ITEMS = 30
SIMILAR = torch.cat([torch.zeros(1, dtype=torch.int64), 100 + torch.arange(1, ITEMS + 1)])


@st.composite
def batches(draw):
    width = draw(st.integers(1, 12))
    lengths = draw(st.lists(st.integers(1, width), min_size=1, max_size=6))
    seed = draw(st.integers(0, 99))
    items = torch.zeros(len(lengths), width, dtype=torch.int64)
    for row, length in enumerate(lengths):
        # All different, so that order can be seen.
        items[row, :length] = (
            torch.randperm(ITEMS, generator=torch.Generator().manual_seed(seed + row))[:length] + 1
        )
    return items, torch.tensor(lengths), seed


def rows(items, length):
    assert items.dtype == torch.int64
    for row, n in zip(items.tolist(), length.tolist(), strict=True):
        assert set(row[n:]) <= {0}
        yield row[:n]


def run(function, batch, **options):
    items, length, seed = batch
    before = items.clone()
    made = function(items, length, torch.Generator().manual_seed(seed), **options)
    again = function(items, length, torch.Generator().manual_seed(seed), **options)
    assert torch.equal(items, before)
    assert all(torch.equal(a, b) for a, b in zip(made, again, strict=True))
    return list(zip(rows(items, length), rows(*made), strict=True))


RATIO = st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.8])


def floor(length: int, tenths: float) -> int:
    return length * round(10 * tenths) // 10


@given(batches(), RATIO)
def test_crop_is_a_contiguous_part(batch, ratio):
    for before, after in run(augment.crop, batch, ratio=ratio):
        assert len(after) == max(1, floor(len(before), 1 - ratio))
        start = before.index(after[0])
        assert before[start : start + len(after)] == after


@given(batches(), RATIO)
def test_mask_hides_so_many(batch, ratio):
    for before, after in run(augment.mask, batch, ratio=ratio):
        hidden = [a == 0 for a in after]
        assert sum(hidden) == floor(len(before), ratio)
        assert all(h or a == b for h, a, b in zip(hidden, after, before, strict=True))


@given(batches(), RATIO)
def test_reorder_shuffles_within_a_span(batch, ratio):
    for before, after in run(augment.reorder, batch, ratio=ratio):
        assert sorted(before) == sorted(after)
        moved = [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        if moved:
            assert moved[-1] - moved[0] < floor(len(before), ratio)


@given(batches(), RATIO)
def test_substitute_puts_similar_items(batch, ratio):
    for before, after in run(augment.substitute, batch, ratio=ratio, similar=SIMILAR):
        changed = [(b, a) for b, a in zip(before, after, strict=True) if a != b]
        assert len(changed) == floor(len(before), ratio)
        assert all(a == 100 + b for b, a in changed)


@given(batches(), RATIO)
def test_insert_puts_similar_items_before_and_keeps_the_end(batch, ratio):
    width = batch[0].shape[1]
    for before, after in run(augment.insert, batch, ratio=ratio, similar=SIMILAR):
        assert len(after) == min(width, len(before) + floor(len(before), ratio))
        kept = [a for a in after if a <= 100]
        assert kept == before[len(before) - len(kept) :]
        for place, item in enumerate(after):
            if item > 100:
                assert after[place + 1] == item - 100


def test_every_place_and_span_can_be_drawn():
    items = torch.arange(1, 7).repeat(400, 1)
    length = torch.full((400,), 6)
    g = torch.Generator().manual_seed(0)
    assert set(augment.crop(items, length, g)[0][:, 0].tolist()) == {1, 2, 3, 4}
    masked = (augment.mask(items, length, g)[0] == 0).float().mean(0)
    assert ((masked - 0.5).abs() < 0.1).all()
    moved = (augment.reorder(items, length, g, ratio=0.5)[0] != items).float().mean(0)
    assert (moved > 0.05).all()


WAYS = {
    "crop": partial(augment.crop, ratio=0.5),
    "mask": lambda items, length, g: (items * 0 + (items > 0) * 50, length),
    "negative": lambda items, length, g: (-items, length),
}


@given(batches())
def test_two_views_are_by_two_ways_and_of_one_item_none(batch):
    items, length, seed = batch
    g = torch.Generator().manual_seed(seed)
    views = augment.two_views(items, length, list(WAYS.values()), g)
    for row in range(len(items)):
        if length[row] == 1:
            assert all(torch.equal(v[0][row], items[row]) for v in views)
            assert all(v[1][row] == 1 for v in views)
            continue
        kinds = []
        for view, lengths in views:
            first = int(view[row, 0])
            kinds.append("negative" if first < 0 else "mask" if first == 50 else "crop")
            assert (view[row] != 0).sum() == lengths[row]
        assert kinds[0] != kinds[1]


def test_one_way_draws_both_views():
    items, length = torch.arange(1, 41).repeat(3, 1), torch.full((3,), 40)
    (a, _), (b, _) = augment.two_views(
        items, length, [augment.reorder], torch.Generator().manual_seed(0)
    )
    assert not torch.equal(a, b)


@pytest.mark.parametrize("ratio", [0.5, 0.8])
def test_shares_of_whole_numbers_are_whole(ratio):
    length = torch.tensor([10, 20, 50])
    assert augment._share(length, ratio).tolist() == [round(n * ratio) for n in (10, 20, 50)]
