"""Batches of a task: new clips, and clips of the rehearsal buffer among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar_speech.encoders.encoder import padded
from nearfar_speech.features import Features
from nearfar_speech.tokens import EOS, PAD, SOS, Tokens

__all__ = ["Batch", "Draw", "Example", "collate", "spelt"]


@dataclass(frozen=True)
class Example:
    """A clip to learn: where it is, its target string, its class, whether it is rehearsed."""

    path: str
    target: str
    label: str
    rehearsal: bool = False


@dataclass(frozen=True)
class Batch:
    """Tensors of B clips.

    Attributes:
        features: [B, M, ...], padded; ``lengths`` [B].
        tokens: [B, n], SOS to EOS, padded with PAD.
        labels, texts: [B], equal numbers where class and target string are equal.
        rehearsal: [B] booleans.
        examples: the clips themselves.
    """

    features: Tensor
    lengths: Tensor
    tokens: Tensor
    labels: Tensor
    texts: Tensor
    rehearsal: Tensor
    examples: tuple[Example, ...]

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class Draw:
    """Which clips each step of a task sees; it follows from the seed and the step's number alone.

    Args:
        new, rehearsed: how many clips there are of each.
        batch: clips a step.
        share: of each batch that is rehearsed, at least one clip where there are any; None: all
            clips come equally often, as in the paper.
        seed: words of the seed.
    """

    new: int
    rehearsed: int
    batch: int
    share: float | None
    seed: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Of one epoch: each new clip comes once."""
        if self.share is None:
            return -(-(self.new + self.rehearsed) // self.batch)
        return -(-self.new // (self.batch - self._old))

    @property
    def _old(self) -> int:
        if not self.rehearsed or not self.share:
            return 0
        return min(max(1, round(self.share * self.batch)), self.batch - 1)

    def at(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of new clips, and of rehearsed ones."""
        epoch, place = divmod(step, self.steps)
        if self.share is None:
            order = self._order(0, epoch, self.new + self.rehearsed)
            own = np.array_split(order, self.steps)[place]
            return own[own < self.new], own[own >= self.new] - self.new
        fresh = np.array_split(self._order(0, epoch, self.new), self.steps)[place]
        # The buffer is gone through again and again, in another order each time.
        places = range(step * self._old, (step + 1) * self._old)
        turns = sorted({p // self.rehearsed for p in places}) if self._old else []
        orders = {turn: self._order(1, turn, self.rehearsed) for turn in turns}
        old = [orders[p // self.rehearsed][p % self.rehearsed] for p in places]
        return fresh, np.array(old, dtype=np.int64)

    def _order(self, kind: int, turn: int, count: int) -> NDArray[np.int64]:
        return np.random.default_rng([*self.seed, kind, turn]).permutation(count)


def spelt(sequences: Sequence[Sequence[int]]) -> Tensor:
    """Token ids each -> [B, n], SOS before, EOS behind, PAD to the longest."""
    size = max(map(len, sequences)) + 2
    rows = [[SOS, *ids, EOS, *[PAD] * (size - 2 - len(ids))] for ids in sequences]
    return torch.tensor(rows)


def collate(
    examples: Sequence[Example],
    features: Features,
    tokens: Tokens,
    *,
    dropout: float = 0.0,
    draw: np.random.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Batch:
    """A batch of examples; ``dropout`` and ``draw`` are BPE-dropout's."""
    sounds, lengths = padded([features.of(example.path) for example in examples])
    return Batch(
        sounds.to(device),
        lengths.to(device),
        spelt([tokens.encode(e.target, dropout, draw) for e in examples]).to(device),
        _codes(e.label for e in examples).to(device),
        _codes(e.target for e in examples).to(device),
        torch.tensor([e.rehearsal for e in examples], device=device),
        tuple(examples),
    )


def _codes(names: Iterable[str]) -> Tensor:
    """Equal numbers for equal names."""
    known: dict[str, int] = {}
    return torch.tensor([known.setdefault(name, len(known)) for name in names])
