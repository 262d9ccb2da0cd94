"""Sequences: what each user took, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nearfar_kit.arrays import names_array

__all__ = ["PADDING", "Ints", "Sequences", "sequences_of"]

Ints = NDArray[np.int64]
PADDING = 0  # the number of no item; items are numbered from 1


@dataclass(frozen=True)
class Sequences:
    """Every user's items, one after another in one array.

    Attributes:
        users: [U] names. items: [I] names; item number n is called ``items[n - 1]``.
        flat: [N] item numbers, users in order, each user's oldest first.
        start: [U + 1], user u has ``flat[start[u]:start[u + 1]]``.
        time: [N] when, in any unit, rising within a user; None where unknown.
        notes: what a reader had to put right, one line each.
        dropped: names of items that a filter left out, none of them in ``items``.
    """

    users: NDArray[np.str_]
    items: NDArray[np.str_]
    flat: Ints
    start: Ints
    time: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    dropped: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))

    def __len__(self) -> int:
        return len(self.users)

    @property
    def lengths(self) -> Ints:
        """Interactions of each user: [U]."""
        return np.diff(self.start)

    @property
    def user_of(self) -> Ints:
        """The user of each interaction: [N]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def of(self, user: int) -> Ints:
        """One user's item numbers, the oldest first."""
        return self.flat[self.start[user] : self.start[user + 1]]

    def where(self, kept: NDArray[np.bool_]) -> Sequences:
        """The interactions of a mask [N]; users of none are left out, items keep their numbers."""
        left = np.bincount(self.user_of[kept], minlength=len(self))
        users = np.flatnonzero(left)
        return replace(
            self,
            users=self.users[users],
            flat=self.flat[kept],
            start=np.concatenate([[0], np.cumsum(left[users])]).astype(np.int64),
            time=None if self.time is None else self.time[kept],
        )

    def names(self, numbers: Iterable[int]) -> list[str]:
        """The items' names; padding is left out."""
        return [str(self.items[n - 1]) for n in numbers if n != PADDING]


def sequences_of(
    users: Iterable[tuple[str, Sequence[str]]], where: object = "sequences"
) -> Sequences:
    """Sequences from (user, items in the order of time), items numbered as they first come.

    Args:
        where: they stand, for errors.

    Raises:
        UserError: a name is far longer than the others.

    Example:
        >>> sequences_of([("ann", ["tea", "rice", "tea"]), ("bo", ["salt"])]).flat
        array([1, 2, 1, 3])
    """
    number: dict[str, int] = {}
    names, flat, lengths = [], [], []
    for user, items in users:
        names.append(user)
        lengths.append(len(items))
        flat += [number.setdefault(item, len(number) + 1) for item in items]
    return Sequences(
        names_array(names, where),
        names_array(list(number), where),
        np.array(flat, dtype=np.int64),
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
    )
