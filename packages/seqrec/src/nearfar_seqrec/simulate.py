"""A stated, seeded simulator of short, noisy histories: data for the demo, not for claims.

A shop has shelves in a circle. A person begins at one, takes things from it, and now and then walks
on to the next; on a shelf some things are taken more than others, and some things come from
anywhere in the shop, by accident. Histories are short, and most things are taken by few. Where a
person stands tells what comes next; no one thing in the basket tells it for sure, most of them
together do, whatever their order and whichever of them are seen: what two views of a history have
in common is what is worth learning.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nearfar_kit.atomic import replacing
from nearfar_seqrec.sequences import Sequences, sequences_of

__all__ = ["CLICKS", "SHELVES", "simulate", "write_clicks", "write_simulated"]

CLICKS = "clicks.csv"

SHELVES = (
    "apples", "salads", "bread", "cheese", "eggs", "milk", "yoghurt", "fish", "meat", "ice", "rice",
    "pasta", "sauces", "spices", "tins", "snacks", "tea", "coffee", "juice", "soap",
)  # fmt: skip


def simulate(
    people: int = 600,
    things: int = 40,
    shortest: int = 4,
    longest: int = 8,
    accident: float = 0.3,
    move: float = 0.05,
    seed: int = 0,
) -> Sequences:
    """Sequences of made people, their things called ``tea 1``, ``tea 2``, ...

    Args:
        things: of each shelf; the nth is taken in proportion to n ** -0.8.
        shortest, longest: things of a history.
        accident: share of things from anywhere.
        move: chance before each thing that the person walks on.
    """
    chance = np.random.default_rng(seed)
    share = np.arange(1, things + 1) ** -0.8
    share /= share.sum()
    rows = []
    for person in range(1, people + 1):
        length = chance.integers(shortest, longest + 1)
        steps = (chance.random(length) < move).cumsum()
        shelf = (chance.integers(len(SHELVES)) + steps) % len(SHELVES)
        anywhere = chance.integers(len(SHELVES), size=length)
        shelf = np.where(chance.random(length) < accident, anywhere, shelf)
        thing = 1 + chance.choice(things, length, p=share)
        taken = [f"{SHELVES[s]} {t}" for s, t in zip(shelf, thing, strict=True)]
        rows.append((f"person {person}", taken))
    return sequences_of(rows)


def write_clicks(path: Path, known: Sequences) -> None:
    """CSV of user, item and time, a row each thing that somebody took."""
    rows = [
        (str(user), item, time)
        for number, user in enumerate(known.users)
        for time, item in enumerate(known.names(known.of(number)))
    ]
    with replacing(path) as beside:
        pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(beside)


def write_simulated(folder: Path, *, seed: int = 0) -> None:
    """``clicks.csv`` of a smaller shop and longer histories, which the default 5-core keeps."""
    write_clicks(folder / CLICKS, simulate(600, 12, shortest=6, longest=12, seed=seed))
