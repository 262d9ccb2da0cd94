"""A simulated shop: outfits of one style, each of several kinds of garment, some new each season.

An item has a style, a kind, a brand and a colour; its title names them among words that say
nothing, its price follows its kind. A bundle holds one item each of two to five kinds, of one style
and mostly one brand. Shoppers take items of a style or two. A third of the items come in no bundle
that is trained on. Chance comes from one seed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from nearfar_bundle.catalogue import Catalogue, catalogue_of
from nearfar_kit.atomic import replacing

__all__ = ["simulate", "write_simulated"]

STYLES = ("running", "hiking", "office", "beach", "ski", "yoga", "cycling", "party")
KINDS = ("shirt", "trousers", "shoes", "jacket", "hat", "bag", "socks", "watch")
PRICES = (30.0, 60.0, 90.0, 140.0, 20.0, 70.0, 10.0, 150.0)
BRANDS = ("Alto", "Brisa", "Corvo", "Dune", "Elba", "Fjell", "Garda", "Havn", "Isar", "Jura")
COLOURS = ("black", "blue", "red", "green", "white", "grey")
FILLING = (
    "new",
    "classic",
    "light",
    "premium",
    "soft",
    "everyday",
    "best",
    "slim",
    "large",
    "2 pack",
)


def simulate(items: int = 800, bundles: int = 600, users: int = 300, *, seed: int = 0) -> Catalogue:
    """A shop with titles, kinds, prices, bundles and feedback."""
    rng = np.random.default_rng(seed)
    style, kind, brand, colour = (
        rng.integers(len(names), size=items) for names in (STYLES, KINDS, BRANDS, COLOURS)
    )
    names = [f"item {n}" for n in range(items)]
    titles = []
    for n in range(items):
        filling = rng.choice(FILLING, size=3, replace=False)
        words = [BRANDS[brand[n]], filling[0], COLOURS[colour[n]], STYLES[style[n]], filling[1],
                 KINDS[kind[n]], filling[2]]  # fmt: skip
        titles.append(" ".join(words))
    membership = []
    for number in range(bundles):
        first = int(rng.integers(items))
        kinds = rng.permutation(len(KINDS))[: rng.integers(2, 6)]
        held = {first}
        for own in kinds[kinds != kind[first]]:
            fits = (style == style[first]) & (kind == own)
            same = fits & (brand == brand[first])
            among = np.flatnonzero(same if same.any() and rng.random() < 0.8 else fits)
            if len(among):
                held.add(int(rng.choice(among)))
        if len(held) > 1:
            membership += [(f"bundle {number}", names[item]) for item in sorted(held)]
    feedback = []
    for user in range(users):
        likes = rng.permutation(len(STYLES))[:2]
        among = np.flatnonzero(np.isin(style, likes))
        feedback += [(f"user {user}", names[i]) for i in rng.choice(among, 6, replace=False)]
    known = catalogue_of("simulated-shop", membership, items=names, feedback=feedback)
    prices = np.array(PRICES)[kind] * rng.uniform(0.8, 1.2, items)
    return replace(
        known, texts={"title": titles}, labels={"kind": [(KINDS[k],) for k in kind]},
        prices=prices.round(2),
    )  # fmt: skip


def write_simulated(folder: Path, *, seed: int = 0) -> None:
    """``items.csv``, ``bundles.csv`` and ``feedback.csv``, as a shop has them."""
    known = simulate(seed=seed)
    holder, held = known.bundles.nonzero()
    user, taken = known.feedback.T
    frames = {
        "items": {
            "item": known.items, "title": known.texts["title"],
            "category": [kinds[0] for kinds in known.labels["kind"]], "price": known.prices,
        },
        "bundles": {"bundle": known.bundle_names[holder], "item": known.items[held]},
        "feedback": {"user": [f"user {n}" for n in user], "item": known.items[taken]},
    }  # fmt: skip
    for name, columns in frames.items():
        with replacing(folder / f"{name}.csv") as beside:
            pl.DataFrame(columns).write_csv(beside)
