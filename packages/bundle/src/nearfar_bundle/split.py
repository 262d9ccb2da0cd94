"""Honest splits: each bundle once, bundles that know of each other on one side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from nearfar_bundle.catalogue import Catalogue, Ints, incidence
from nearfar_kit.errors import UserError

__all__ = [
    "Asked", "Split", "explained_pairs", "given_by", "holders", "kin", "near_pairs",
    "split_bundles", "unique_bundles",
]  # fmt: skip

NEAR = 0.5  # two bundles whose Jaccard index is above are near-duplicates
HELD = 0.75  # a user who took so much of a bundle took the bundle, whoever is said to own it


@dataclass(frozen=True)
class Asked:
    """Partial bundles: the items shown and those to be found, both [Q, I]."""

    bundles: Ints
    shown: csr_matrix
    hidden: csr_matrix

    def __len__(self) -> int:
        return len(self.bundles)

    def first(self, n: int) -> Asked:
        """The first n of them."""
        return Asked(self.bundles[:n], self.shown[:n], self.hidden[:n])


@dataclass(frozen=True)
class Split:
    """A catalogue whose feedback knows nothing of held-out bundles, and the parts.

    Attributes:
        catalogue: feedback without the pairs that held-out bundles explain.
        train: numbers of the bundles that are trained on.
        notes: what was left out, one line each.
    """

    catalogue: Catalogue
    train: Ints
    valid: Asked
    test: Asked
    notes: tuple[str, ...] = ()

    @property
    def training(self) -> csr_matrix:
        """[T, I], the bundles that are trained on."""
        return self.catalogue.bundles[self.train]

    @property
    def degrees(self) -> Ints:
        """In how many training bundles each item is: [I]."""
        return np.asarray(self.training.sum(0), np.int64).ravel()


def unique_bundles(bundles: csr_matrix) -> Ints:
    """The first of each set of bundles that hold the same items."""
    first: dict[bytes, int] = {}
    for row in range(bundles.shape[0]):
        items = np.sort(bundles.indices[bundles.indptr[row] : bundles.indptr[row + 1]])
        first.setdefault(items.tobytes(), row)
    return np.array(sorted(first.values()), np.int64)


def near_pairs(left: csr_matrix, right: csr_matrix, near: float = NEAR) -> csr_matrix:
    """[L, R], the Jaccard index of bundles where it is above ``near``."""
    shared = (left @ right.T).tocoo()
    sizes = [np.asarray(side.sum(1)).ravel() for side in (left, right)]
    union = sizes[0][shared.row] + sizes[1][shared.col] - shared.data
    index = shared.data / union
    close = index > near
    return csr_matrix((index[close], (shared.row[close], shared.col[close])), shape=shared.shape)


def kin(catalogue: Catalogue, rows: Ints, near: float = NEAR) -> Ints:
    """A number for each of the bundles, alike for those of one session and near-duplicates.

    And for what these are kin to in turn.
    """
    bundles = catalogue.bundles[rows]
    graph = near_pairs(bundles, bundles, near)
    if catalogue.sessions is not None:
        _, session = np.unique(catalogue.sessions[rows], return_inverse=True)
        of = csr_matrix(
            (np.ones(len(rows), np.float32), (np.arange(len(rows)), session.astype(np.int64)))
        )
        graph = graph + of @ of.T
    number: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return number


def split_bundles(
    catalogue: Catalogue,
    seed: int = 0,
    *,
    valid_share: float = 0.1,
    test_share: float = 0.2,
    shown_share: float = 0.5,
    near: float = NEAR,
) -> Split:
    """Bundles of two items or more, each once, kin together; the feedback freed of held-out ones.

    Of a held-out bundle ``floor(shown_share * size)`` items are shown, one at least, and the others
    are to be found. Bundles of one item are trained on.

    Raises:
        UserError: there are too few groups of kin for three parts.
    """
    rng = np.random.default_rng(seed)
    rows = unique_bundles(catalogue.bundles)
    size = np.diff(catalogue.bundles.indptr)
    rows = rows[size[rows] > 0]
    group = kin(catalogue, rows, near)
    order = rng.permutation(int(group.max(initial=-1)) + 1)
    if len(order) < 3:
        raise UserError(
            f"{catalogue.name}: {len(rows)} bundles fall into {len(order)} groups of kin; expected "
            "three or more to train, validate and test"
        )
    share = np.bincount(group)[order].cumsum() / len(rows)
    part_of = np.empty(len(order), np.int64)
    held_out = np.where(share <= test_share, 2, 1)
    part_of[order] = np.where(share <= test_share + valid_share, held_out, 0)
    part = part_of[group]
    part[size[rows] < 2] = 0
    parts = [rows[part == which] for which in (0, 1, 2)]
    for name, own in zip(("training", "validation", "test"), parts, strict=True):
        if not len(own):
            raise UserError(f"{catalogue.name}: the {name} part is empty; expected more bundles")
    train, valid, test = parts
    given_away = explained_pairs(catalogue, np.concatenate([valid, test]))
    dropped = catalogue.bundles.shape[0] - len(rows)
    notes = []
    if dropped:
        notes.append(f"{dropped} bundles repeat another's items, or have none, and are left out")
    if given_away.any():
        notes.append(
            f"{int(given_away.sum())} of {len(given_away)} pairs of feedback follow from held-out "
            "bundles and are left out"
        )
    return Split(
        catalogue.without_feedback(given_away),
        train,
        _asked(catalogue, valid, rng, shown_share),
        _asked(catalogue, test, rng, shown_share),
        tuple(notes),
    )


def given_by(catalogue: Catalogue) -> Split:
    """The parts that the data set itself gives; the feedback is freed all the same.

    Raises:
        UserError: it gives none.
    """
    if not catalogue.given:
        raise UserError(f"{catalogue.name}: has no parts of its own; expected split=kin")
    (valid, shown_valid), (test, shown_test) = catalogue.given["valid"], catalogue.given["test"]
    given_away = explained_pairs(catalogue, np.concatenate([valid, test]))
    return Split(
        catalogue.without_feedback(given_away),
        catalogue.given["train"][0],
        _rest(catalogue, valid, shown_valid),
        _rest(catalogue, test, shown_test),
    )


def explained_pairs(catalogue: Catalogue, held_out: Ints) -> NDArray[np.bool_]:
    """Which pairs of feedback a held-out bundle explains: [n].

    Those of its items with its owners, and with users who took nearly all of it.
    """
    feedback, owners = catalogue.feedback, catalogue.owners
    if not len(feedback):
        return np.zeros(0, bool)
    bundles = catalogue.bundles[held_out]
    users = 1 + int(max(feedback[:, 0].max(), owners[:, 0].max(initial=0)))
    holds = holders(bundles, incidence(feedback, users, len(catalogue)))
    row_of = {bundle: row for row, bundle in enumerate(held_out.tolist())}
    own = [(row_of[b], u) for u, b in owners.tolist() if b in row_of]
    holds = holds + incidence(np.array(own, np.int64).reshape(-1, 2), *holds.shape)
    implied = holds.T @ bundles
    return np.asarray(implied[feedback[:, 0], feedback[:, 1]]).ravel() > 0


def holders(bundles: csr_matrix, feedback: csr_matrix) -> csr_matrix:
    """[B, U]: users who took nearly all items of a bundle, from [B, I] and [U, I]."""
    size = np.asarray(bundles.sum(1)).ravel()
    both = (bundles @ feedback.T).tocoo()
    most = both.data >= HELD * size[both.row]
    pairs = np.stack([both.row[most], both.col[most]], 1).astype(np.int64)
    return incidence(pairs, *both.shape)


def _asked(catalogue: Catalogue, rows: Ints, rng: np.random.Generator, shown_share: float) -> Asked:
    """Bundles parted by chance into what is shown and what is to be found."""
    bundles = catalogue.bundles[rows].tocsr()
    keep = np.zeros(len(bundles.indices), bool)
    for start, stop in zip(bundles.indptr[:-1], bundles.indptr[1:], strict=True):
        n = max(1, int(shown_share * (stop - start)))
        keep[start + rng.permutation(stop - start)[:n]] = True
    sides = []
    for own in (keep, ~keep):
        side = bundles.copy()
        side.data = side.data * own
        side.eliminate_zeros()
        sides.append(side)
    return Asked(rows, *sides)


def _rest(catalogue: Catalogue, rows: Ints, shown: csr_matrix) -> Asked:
    hidden = catalogue.bundles[rows] - shown
    hidden.eliminate_zeros()
    return Asked(rows, shown, hidden)
