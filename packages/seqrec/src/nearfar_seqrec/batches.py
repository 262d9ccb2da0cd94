"""Training batches: prefixes, one target each, or whole sequences with a target at every place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nearfar_kit.errors import UserError
from nearfar_seqrec.sequences import Ints
from nearfar_seqrec.split import Split, padded

__all__ = ["Batch", "Batches", "check_trainable"]


@dataclass(frozen=True)
class Batch:
    """Rows to learn from, all padded with 0 on the right.

    Attributes:
        items: [B, L]. targets: [B, L], the next item at each place, 0 where none is asked for; at
            least one a row is.
        prefix: [B, P], a history to contrast; prefix_length: [B].
        alike: [B, Q], another history that the same item came after; alike_length: [B].
    """

    items: Tensor
    targets: Tensor
    prefix: Tensor
    prefix_length: Tensor
    alike: Tensor
    alike_length: Tensor

    def __len__(self) -> int:
        return len(self.items)

    def rows(self, which: slice) -> Batch:
        return Batch(*(tensor[which] for tensor in vars(self).values()))

    def to(self, device: torch.device) -> Batch:
        return Batch(*(tensor.to(device) for tensor in vars(self).values()))


class Batches:
    """The batches of each epoch; the order and all draws follow from the seed and the epoch.

    Both modes train each next item of a user once an epoch. ``prefix`` (RecBole's) makes a row of
    each, with the ``longest`` items before it. ``positions`` makes a row of up to ``longest`` of
    them that stand together, so that the encoder runs once for all; what came before a row is not
    seen in it, and one random prefix of the user a row is contrasted.

    Args:
        longest: items of a history.
        size: rows a batch; the last one is smaller, at least two.
        want_alike: whether batches hold histories with the same next item (DuoRec).

    Raises:
        UserError: nobody has two interactions to train on.
    """

    def __init__(
        self,
        split: Split,
        *,
        mode: str,
        longest: int,
        size: int,
        seed: int,
        want_alike: bool = False,
    ) -> None:
        check_trainable(split)
        sequences = split.sequences
        self.flat, self.begin = sequences.flat, sequences.start[:-1]
        self.train_end = split.train_end
        self.longest, self.size, self.seed, self.mode = longest, size, seed, mode
        # Every (user, end): the items before place ``end`` are the history, the one there is asked.
        count = np.maximum(self.train_end - 1, 0)
        self.offset = np.cumsum(count) - count
        self.user = np.repeat(np.arange(len(sequences)), count)
        self.end = np.arange(len(self.user)) - self.offset[self.user] + 1
        self.rows = np.arange(len(self.user))
        if mode == "positions":
            # From the last target back, so that the short row is the oldest.
            self.rows = self.rows[(self.train_end[self.user] - 1 - self.end) % longest == 0]
        if want_alike:
            target = self.flat[self.begin[self.user] + self.end]
            self.by_target = target.argsort(kind="stable")
            self.place_by_target = self.by_target.argsort()
            self.first_of = np.searchsorted(target[self.by_target], np.arange(target.max() + 2))
        self.want_alike = want_alike

    def __len__(self) -> int:
        """Batches an epoch."""
        return max(1, min(-(-len(self.rows) // self.size), len(self.rows) // 2))

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number``."""
        chance = np.random.default_rng([self.seed, number])
        for rows in np.array_split(chance.permutation(self.rows), len(self)):
            yield self._batch(rows, chance)

    def _batch(self, rows: Ints, chance: np.random.Generator) -> Batch:
        user = self.user[rows]
        items, length = self._history(rows)
        if self.mode == "prefix":
            targets = np.zeros_like(items)
            asked = self.flat[self.begin[user] + self.end[rows]]
            np.put_along_axis(targets, length[:, None] - 1, asked[:, None], axis=1)
            contrasted, prefix, prefix_length = rows, items, length
        else:
            first = self.begin[user] + self.end[rows] - length
            targets = padded(self.flat, first + 1, length)
            contrasted = self.offset[user] + chance.integers(0, self.train_end[user] - 1)
            prefix, prefix_length = self._history(contrasted)
        alike, alike_length = prefix, prefix_length
        if self.want_alike:
            alike, alike_length = self._history(self._alike(contrasted, chance))
        arrays = (items, targets, prefix, prefix_length, alike, alike_length)
        return Batch(*map(torch.from_numpy, arrays))

    def _history(self, rows: Ints) -> tuple[Ints, Ints]:
        length = np.minimum(self.end[rows], self.longest)
        first = self.begin[self.user[rows]] + self.end[rows] - length
        return padded(self.flat, first, length), length

    def _alike(self, rows: Ints, chance: np.random.Generator) -> Ints:
        """Another row each with the same next item; itself where there is none."""
        target = self.flat[self.begin[self.user[rows]] + self.end[rows]]
        first, stop = self.first_of[target], self.first_of[target + 1]
        own = self.place_by_target[rows]
        drawn = chance.integers(first, np.maximum(stop - 1, first + 1))
        drawn = np.where(stop - first > 1, drawn + (drawn >= own), own)
        alike: Ints = self.by_target[drawn]
        return alike


def check_trainable(split: Split) -> None:
    """Raises UserError where nobody, or one target alone, is left to train on."""
    if np.maximum(split.train_end - 1, 0).sum() < 2:
        raise UserError(
            "split: the training part has fewer than two targets; expected users with two or more "
            "interactions before those held out"
        )
