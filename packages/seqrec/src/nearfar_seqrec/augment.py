"""Augmentations of sequences: pure functions of a padded batch.

All take items [B, L] (numbers from 1, padded with 0 on the right) and lengths [B], draw from the
generator alone, and give items [B, L] and lengths [B]. Crop, mask and reorder are those of CL4SRec
(Xie et al. 2022, arXiv 2010.14395), insert and substitute those of CoSeRec (Liu et al. 2021, arXiv
2108.06479).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from nearfar_seqrec.sequences import PADDING

__all__ = ["crop", "insert", "mask", "reorder", "substitute", "two_views"]

Augmentation = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]


def crop(
    items: Tensor, length: Tensor, generator: Generator, *, ratio: float = 0.5
) -> tuple[Tensor, Tensor]:
    """A random contiguous part: ``floor(length * (1 - ratio))`` items, at least one."""
    kept = _share(length, 1 - ratio).clamp(min=1).minimum(length)
    first = _below(length - kept + 1, generator)
    at = (first[:, None] + _places(items)).clamp(max=items.shape[1] - 1)
    inside = _places(items) < kept[:, None]
    return torch.where(inside, items.gather(1, at), PADDING), kept


def mask(
    items: Tensor, length: Tensor, generator: Generator, *, ratio: float = 0.5
) -> tuple[Tensor, Tensor]:
    """``floor(length * ratio)`` random items become padding, which attention passes over too."""
    chosen = _random_places(items, length, _share(length, ratio), generator)
    return items.masked_fill(chosen, PADDING), length


def reorder(
    items: Tensor, length: Tensor, generator: Generator, *, ratio: float = 0.8
) -> tuple[Tensor, Tensor]:
    """A random contiguous span of ``floor(length * ratio)`` items is shuffled."""
    span = _share(length, ratio)[:, None]
    first = _below(length - span[:, 0] + 1, generator)[:, None]
    place = _places(items).expand_as(items)
    inside = (place >= first) & (place < first + span)
    # Inside the span a random key between its ends, outside it the place itself.
    key = torch.where(inside, first + span * _uniform(items, generator), place.double())
    return items.gather(1, key.argsort(dim=1, stable=True)), length


def substitute(
    items: Tensor, length: Tensor, generator: Generator, *, similar: Tensor, ratio: float = 0.5
) -> tuple[Tensor, Tensor]:
    """``floor(length * ratio)`` random items become the one most similar to each.

    Args:
        similar: [I + 1], the item to put for each; 0 for padding.
    """
    chosen = _random_places(items, length, _share(length, ratio), generator)
    return torch.where(chosen, similar[items], items), length


def insert(
    items: Tensor, length: Tensor, generator: Generator, *, similar: Tensor, ratio: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Before ``floor(length * ratio)`` random items comes the one most similar to each.

    What is longer than L then loses its beginning.
    """
    width = items.shape[1]
    count = _share(length, ratio)
    chosen = _random_places(items, length, count, generator)
    place = _places(items) + chosen.cumsum(1)  # where each item goes
    place = torch.where(_places(items) < length[:, None], place, 2 * width)  # padding: thrown away
    long = items.new_zeros(len(items), 2 * width + 1)
    long.scatter_(1, place, items)
    long.scatter_(1, torch.where(chosen, place - 1, 2 * width), similar[items])
    new = (length + count).minimum(torch.tensor(width, device=items.device))
    at = (length + count - new)[:, None] + _places(items)
    return torch.where(_places(items) < new[:, None], long.gather(1, at), PADDING), new


def two_views(
    items: Tensor, length: Tensor, augmentations: Sequence[Augmentation], generator: Generator
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Two views of each row, by two different augmentations drawn for it; of one item: itself.

    MCLRec's scheme (Qin et al. 2023). With one augmentation both views are drawn by it.

    Returns:
        (items [B, L], lengths [B]) of the first views and of the second.
    """
    made = [augment(items, length, generator) for augment in augmentations]
    if len(made) == 1:
        made.append(augmentations[0](items, length, generator))
    views = torch.stack([m[0] for m in made])  # ways x B x L
    lengths = torch.stack([m[1] for m in made])  # ways x B
    ways = torch.rand(len(items), len(made), generator=generator).to(items.device).argsort(1)
    row = torch.arange(len(items), device=items.device)
    short = length < 2

    def view(way: Tensor) -> tuple[Tensor, Tensor]:
        return (
            torch.where(short[:, None], items, views[way, row]),
            torch.where(short, length, lengths[way, row]),
        )

    return view(ways[:, 0]), view(ways[:, 1])


def _share(length: Tensor, ratio: float) -> Tensor:
    # A share such as 0.8 of 5 must not fall below 4 by the last bit.
    return (length.double() * ratio + 1e-9).floor().long()


def _places(items: Tensor) -> Tensor:
    return torch.arange(items.shape[1], device=items.device)[None]


def _uniform(items: Tensor, generator: Generator) -> Tensor:
    # Drawn on the CPU, so that the same seed draws the same on any device.
    drawn = torch.rand(items.shape, generator=generator, dtype=torch.float64)
    return drawn.to(items.device)


def _below(bound: Tensor, generator: Generator) -> Tensor:
    drawn = torch.rand(bound.shape, generator=generator, dtype=torch.float64).to(bound.device)
    return (drawn * bound).long()


def _random_places(items: Tensor, length: Tensor, count: Tensor, generator: Generator) -> Tensor:
    """``count`` [B] of the first ``length`` [B] places of each row: a mask [B, L]."""
    key = _uniform(items, generator).masked_fill(_places(items) >= length[:, None], 2.0)
    return key.argsort(1).argsort(1) < count[:, None]
