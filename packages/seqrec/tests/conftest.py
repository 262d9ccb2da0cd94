"""Small made sequences, and models on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nearfar_seqrec.sequences import sequences_of
from nearfar_seqrec.settings import SeqrecSettings
from nearfar_seqrec.split import leave_one_out

SMALL = {
    "width": 8, "layers": 1, "heads": 1, "inner_width": 8, "longest": 6, "batch": 16, "epochs": 2,
    "user_min": 1, "item_min": 1,
}  # fmt: skip


@pytest.fixture(scope="session")
def small():
    """Settings of a network that trains in moments; keywords stand over them."""
    return lambda **given: SeqrecSettings(**SMALL | given)


@pytest.fixture(scope="session")
def tiny_model(small):
    def make(split, **given):
        from nearfar_seqrec.models import new_model

        torch.manual_seed(0)
        model = new_model(
            small(**{"method": "sasrec"} | given), len(split.sequences.items),
            torch.from_numpy(split.train_counts()),
        )  # fmt: skip
        return model.eval()

    return make


def circles(users: int = 40, items: int = 12, length: int = 12) -> list[tuple[str, list[str]]]:
    """Users who go round a circle of items, each from another place: the next one is sure."""
    chance = np.random.default_rng(0)
    starts = chance.integers(0, items, users)
    return [
        (f"user {n}", [f"item {(s + step) % items}" for step in range(length)])
        for n, s in enumerate(starts)
    ]


@pytest.fixture(scope="session")
def circle_rows():
    return circles()


@pytest.fixture(scope="session")
def circle_split():
    return leave_one_out(sequences_of(circles()))
