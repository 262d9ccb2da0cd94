"""Global strategies: which images of a batch are alike, and which of them repel each other.

A batch holds one image of every part of m volumes, image ``part + S * volume``, in one to three
versions: as it is, and augmented once or twice. Chaitanya et al. 2020 (arXiv 2006.10511).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["STRATEGIES", "Strategy"]


@dataclass(frozen=True)
class Strategy:
    """How a batch is made, and its pairs.

    Attributes:
        plain: whether images take part as they are too.
        augmented: how many augmentations of each take part.
        by_part: whether images of one part, in any volume, do not repel each other.
        across: whether images of one part in two volumes are alike.
    """

    plain: bool
    augmented: int
    by_part: bool
    across: bool

    @property
    def versions(self) -> int:
        """Of each image in the batch."""
        return int(self.plain) + self.augmented

    def place(self, volumes: int, parts: int) -> Tensor:
        """[versions * m * S] codes, version by version: those of different ones repel."""
        image = torch.arange(volumes * parts)
        return (image % parts if self.by_part else image).repeat(self.versions)

    def positives(self, volumes: int, parts: int) -> Tensor:
        """[P, 2] numbers of images that are alike, each pair once.

        Versions of one image are a chain (all of three where volumes are not compared), and with
        ``across`` each version of an image and that of the next volume's image of the same part.
        """
        count = volumes * parts
        image = torch.arange(count)
        chain = [(v, v + 1) for v in range(self.versions - 1)]
        if self.versions == 3 and not self.across:
            chain.append((0, 2))
        pairs = [torch.stack([image + a * count, image + b * count], 1) for a, b in chain]
        if self.across and volumes > 1:
            following = (image + parts) % count
            pairs += [torch.stack([image, following], 1) + v * count for v in range(self.versions)]
        found: Tensor = torch.unique(torch.cat(pairs).sort(dim=1)[0], dim=0)
        return found


# By the paper's names.
STRATEGIES = {
    "GR": Strategy(plain=False, augmented=2, by_part=False, across=False),
    "GD-": Strategy(plain=True, augmented=2, by_part=True, across=False),
    "GD": Strategy(plain=True, augmented=1, by_part=True, across=True),
    "GD2": Strategy(plain=True, augmented=2, by_part=True, across=True),
}
