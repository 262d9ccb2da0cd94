"""CLHE's folder: POG and Spotify as Ma et al. 2024 lay them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, vstack

from nearfar_bundle.catalogue import Catalogue, Floats, Ints, incidence
from nearfar_bundle.readers.files import check_highest, is_number, read_vectors
from nearfar_kit.errors import UserError
from nearfar_kit.json_files import read_json
from nearfar_kit.layouts import set_name
from nearfar_kit.text_files import read_text

__all__ = ["read_clhe"]

VECTORS = {"content": "content_feature.pt", "description": "description_feature.pt"}


def read_clhe(path: Path) -> Catalogue:
    """``count.json``, ``ui_full.txt``, ``bi_*.txt`` and the features, of which any may be missing.

    Lines are ``id, item, item, ...``. The collaborative vectors of the folder are not read: they
    may know held-out bundles; ours are learnt from the feedback that is left.

    Raises:
        UserError: a file is missing or damaged, an item is out of range, vectors are of another
            number.
    """
    users, items = _counts(path)
    train, numbers = _lines(path / "bi_train.txt", items)
    rows, names, given, first = [train], [*numbers.tolist()], {}, len(numbers)
    given["train"] = (np.arange(first), train)
    for part in ("valid", "test"):
        shown, own = _lines(path / f"bi_{part}_input.txt", items)
        hidden, other = _lines(path / f"bi_{part}_gt.txt", items)
        if own.tolist() != other.tolist():
            raise UserError(f"{path / f'bi_{part}_gt.txt'}: has other bundles than its input file")
        rows.append((shown + hidden).tocsr())
        given[part] = (np.arange(first, first + len(own)), shown)
        names += own.tolist()
        first += len(own)
    feedback_file = path / "ui_full.txt"
    feedback = np.empty((0, 2), np.int64)
    if feedback_file.exists():
        taken, of = _lines(feedback_file, items)
        pairs = taken.tocoo()
        feedback = np.stack([of[pairs.row], pairs.col], 1).astype(np.int64)
        if len(of) and int(of.max()) >= users:
            raise UserError(f"{feedback_file}: names user {of.max()}; expected below {users}")
    bundles = vstack(rows).tocsr()
    bundles.data[:] = 1.0
    return Catalogue(
        set_name(path),
        np.arange(items).astype(np.str_),
        bundles,
        np.array(names).astype(np.str_),
        vectors={
            name: _of(path / file, items)
            for name, file in VECTORS.items()
            if (path / file).exists()
        },
        feedback=np.unique(feedback, axis=0),
        given=given,
    )


def _counts(path: Path) -> tuple[int, int]:
    """How many users and items ``count.json`` tells."""
    file = path / "count.json"
    count = read_json(file)
    try:
        users, items = int(count["#U"]), int(count["#I"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{file}: cannot be read ({error}); expected #U, #B and #I") from None
    if min(users, items) < 0:
        raise UserError(f"{file}: tells of {min(users, items)}; expected counts")
    size = sum(own.stat().st_size for own in path.iterdir() if own.is_file())
    check_highest(file, max(users, items), size)
    return users, items


def _of(path: Path, items: int) -> Floats:
    found = read_vectors(path)
    if len(found) != items:
        raise UserError(f"{path}: has {len(found)} rows; expected {items}, one an item")
    return found


def _lines(path: Path, items: int) -> tuple[csr_matrix, Ints]:
    """[lines, I] and the id of each line."""
    pairs: list[tuple[int, int]] = []
    ids: list[int] = []
    for number, line in enumerate(read_text(path, "lines of 'id, item, item'").splitlines(), 1):
        words = [word.strip() for word in line.split(",") if word.strip()]
        if not words:
            continue
        if not all(map(is_number, words)):
            raise UserError(f"{path}, line {number}: is {line[:40]!r}; expected 'id, item, item'")
        of, *held = map(int, words)
        for item in held:
            if item >= items:
                raise UserError(f"{path}, line {number}: item {item}; expected below {items}")
            pairs.append((len(ids), item))
        ids.append(of)
    at = np.array(pairs, np.int64).reshape(-1, 2)
    return incidence(at, len(ids), items), np.array(ids, np.int64)
