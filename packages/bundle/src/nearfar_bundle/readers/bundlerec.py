"""BundleRec's folder of CSV files: titles, categories, bundles, sessions, owners."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from nearfar_bundle.catalogue import Catalogue, catalogue_of
from nearfar_bundle.readers.files import is_number, text_columns
from nearfar_kit.errors import UserError
from nearfar_kit.frames import read_frame
from nearfar_kit.layouts import set_name

__all__ = ["category_labels", "read_bundlerec"]

DEEPEST = 100  # levels of a category, each of which is a label as long as all above it


def read_bundlerec(path: Path) -> Catalogue:
    """Sun et al. 2022 (SIGIR): ``bundle_item.csv``, ``item_titles.csv`` and their companions."""

    def pairs(name: str, *columns: str) -> list[tuple[str, str]]:
        file = path / f"{name}.csv"
        if not file.exists():
            return []
        return [(a, b) for a, b in text_columns(read_frame(file), file, *columns).iter_rows()]

    def labels(item: str) -> tuple[str, ...]:
        try:
            return category_labels(categories.get(item) or "")
        except UserError as error:
            raise UserError(f"{path / 'item_categories.csv'}: item {item} {error}") from None

    membership = pairs("bundle_item", "bundle ID", "item ID")
    titles = dict(pairs("item_titles", "item ID", "titles"))
    categories = dict(pairs("item_categories", "item ID", "categories"))
    feedback = pairs("user_item", "user ID", "item ID")
    named = {*titles, *categories, *(i for _, i in membership), *(i for _, i in feedback)}
    items = sorted((item for item in named if item), key=_by_id)
    known = catalogue_of(
        set_name(path),
        membership,
        items=items,
        feedback=feedback,
        texts={"title": [titles.get(item) or "" for item in items]},
        labels={"category": [labels(item) for item in items]},
    )
    return _with_bundle_facts(
        known,
        pairs("session_bundle", "session ID", "bundle ID"),
        pairs("user_bundle", "user ID", "bundle ID"),
    )


def _by_id(item: str) -> tuple[int, str]:
    return (int(item), item) if is_number(item) else (2**62, item)


def _with_bundle_facts(
    known: Catalogue, sessions: list[tuple[str, str]], owners: list[tuple[str, str]]
) -> Catalogue:
    """Sessions and owners of the bundles; a bundle that has no session is one by itself."""
    number = {str(name): n for n, name in enumerate(known.bundle_names)}
    session_of = {name: n for n, name in enumerate(dict.fromkeys(s for s, _ in sessions))}
    own = np.arange(len(number), dtype=np.int64) + len(session_of)
    for session, bundle in sessions:
        if bundle in number:
            own[number[bundle]] = session_of[session]
    user_of = {name: n for n, name in enumerate(dict.fromkeys(u for u, _ in owners))}
    by = [(user_of[u], number[b]) for u, b in owners if b in number]
    return replace(
        known,
        sessions=own if sessions else None,
        owners=np.array(by, np.int64).reshape(-1, 2),
    )


def category_labels(text: str) -> tuple[str, ...]:
    """Every category that lists of paths hold, each with those above it.

    A comma followed by a space belongs to a name.

    Raises:
        UserError: a path has no end.

    Example:
        >>> category_labels("[[Clothing, Shoes,Women],[Novelty]]")
        ('Clothing, Shoes', 'Clothing, Shoes > Women', 'Novelty')
    """
    found: dict[str, None] = {}
    for path in re.findall(r"\[([^\[\]]+)\]", text):
        names = re.split(r",(?! )", path)
        if len(names) > DEEPEST:
            raise UserError(f"has a category below {len(names)} others; expected {DEEPEST} at most")
        for depth in range(1, len(names) + 1):
            found[" > ".join(names[:depth])] = None
    return tuple(found)
