"""Splits: which interactions are trained on, which ones choose settings, which ones test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearfar_kit.errors import UserError
from nearfar_seqrec.features import ItemFeatures
from nearfar_seqrec.sequences import Ints, Sequences

__all__ = ["Split", "by_time", "leave_one_out", "padded"]


@dataclass(frozen=True)
class Split:
    """Sequences, how much of each is trained on, and the interactions that are asked for.

    Attributes:
        train_end: [U]; of user u the first ``train_end[u]`` interactions are trained on.
        valid, test: [n, 2] (user, place in the user's sequence): given everything before that
            place, the item there is asked for.
        notes: what could not be used, one line each.
        features: what is known of the items, or None.
    """

    sequences: Sequences
    train_end: Ints
    valid: Ints
    test: Ints
    notes: tuple[str, ...] = ()
    features: ItemFeatures | None = None

    def targets(self, asked: Ints) -> Ints:
        """The items asked for: [n]."""
        targets: Ints = self.sequences.flat[self.sequences.start[asked[:, 0]] + asked[:, 1]]
        return targets

    def histories(self, asked: Ints, longest: int) -> Ints:
        """What came before, the last ``longest`` of it, padded on the right: [n, L]."""
        length = np.minimum(asked[:, 1], longest)
        first = self.sequences.start[asked[:, 0]] + asked[:, 1] - length
        return padded(self.sequences.flat, first, length)

    def train_counts(self) -> Ints:
        """How often each item number occurs in training: [I + 1]."""
        kept = self.places < self.train_end[self.sequences.user_of]
        return np.bincount(self.sequences.flat[kept], minlength=len(self.sequences.items) + 1)

    @property
    def places(self) -> Ints:
        """The place of each interaction in its user's sequence: [N]."""
        return np.arange(len(self.sequences.flat)) - self.sequences.start[self.sequences.user_of]


def padded(flat: Ints, first: Ints, length: Ints) -> Ints:
    """Rows ``flat[first : first + length]``, padded with 0 to the longest: [n, L]."""
    step = np.arange(max(1, int(length.max(initial=0))))
    inside = step < length[:, None]
    return np.where(inside, flat[np.where(inside, first[:, None] + step, 0)], 0)


def leave_one_out(sequences: Sequences) -> Split:
    """Each user's last interaction tests, the one before it validates, the rest is trained on.

    Users of fewer than three interactions are trained on alone.

    Raises:
        UserError: nobody has three interactions.
    """
    length = sequences.lengths
    asked = np.flatnonzero(length >= 3)
    if not len(asked):
        raise UserError(
            f"split: none of {len(sequences)} users has 3 interactions; expected one to train on, "
            "one for validation, one for the test"
        )
    short = len(length) - len(asked)
    notes = [f"{short} users have fewer than 3 interactions and are not tested"] if short else []
    return Split(
        sequences,
        np.where(length >= 3, length - 2, length),
        np.stack([asked, length[asked] - 2], 1),
        np.stack([asked, length[asked] - 1], 1),
        tuple(notes),
    )


def by_time(sequences: Sequences, valid: float = 0.1, test: float = 0.1) -> Split:
    """The last ``test`` of all interactions tests, the ``valid`` before them validates.

    One moment for all users: nothing of the future is trained on. Interactions of the same moment
    fall on the same side. Users who first appear after it cannot be asked for their first item.

    Raises:
        UserError: the data has no times, or a part is empty.
    """
    if sequences.time is None:
        raise UserError("split by_time: the data has no times; expected a column of time")
    time, user = sequences.time, sequences.user_of
    ordered = np.sort(time)
    n = len(ordered)
    moments = [ordered[min(n - 1, int(n * (1 - share)))] for share in (valid + test, test)]
    part = np.searchsorted(np.array(moments), time, side="right")  # 0 train, 1 valid, 2 test
    train_end = np.bincount(user[part == 0], minlength=len(sequences)).astype(np.int64)
    place = np.arange(n) - sequences.start[user]
    asked = [
        np.stack([user[rows], place[rows]], 1)
        for rows in (np.flatnonzero((part == which) & (place > 0)) for which in (1, 2))
    ]
    for name, size in (
        ("train", train_end.sum()),
        ("valid", len(asked[0])),
        ("test", len(asked[1])),
    ):
        if size == 0:
            raise UserError(
                f"split by_time: the {name} part is empty; expected other shares than "
                f"valid {valid:g} and test {test:g}, or more moments"
            )
    first = int(((part > 0) & (place == 0)).sum())
    notes = [f"{first} users begin after the training's end; their first item is not asked for"]
    return Split(sequences, train_end, asked[0], asked[1], tuple(notes if first else ()))
