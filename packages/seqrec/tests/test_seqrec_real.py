"""Real data: the published counts, and RecBole's number of training samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfar_seqrec.batches import Batches
from nearfar_seqrec.data import split_from
from nearfar_seqrec.settings import SeqrecSettings

DATA = Path(__file__).parents[4] / "shared" / "data" / "seqrec"
COUNTS = {
    "LastFM": (1_090, 3_646, 52_551),
    "Amazon_Beauty": (22_363, 12_101, 198_502),
    "Amazon_Sports_and_Outdoors": (35_598, 18_357, 296_337),
}


@pytest.mark.data
@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones_and_the_filter_changes_nothing(name):
    path = DATA / f"{name}.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not in ../shared/data/seqrec beside the repository")
    split = split_from(path, SeqrecSettings())
    known = split.sequences
    assert (len(known), len(known.items), len(known.flat)) == COUNTS[name]
    assert len(split.test) == len(split.valid) == len(known)
    if name == "Amazon_Beauty":
        batches = Batches(split, mode="prefix", longest=50, size=256, seed=0)
        assert len(batches.rows) == 131_413  # as RecBole 1.2.1 makes of it


def test_movielens_comes_with_recbole():
    split = split_from(Path("ml-100k"), SeqrecSettings(user_min=1, item_min=1))
    known = split.sequences
    assert (len(known), len(known.items), len(known.flat)) == (943, 1_682, 100_000)
