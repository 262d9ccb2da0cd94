"""Which of several processes this is, and its share of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nearfar.batch import Group

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["ALONE", "Place", "place_of"]


@dataclass(frozen=True)
class Place:
    """Process ``rank`` of ``world``, all of one ``group``."""

    rank: int = 0
    world: int = 1
    group: Group = None

    @property
    def rows(self) -> slice:
        """Its bundles of a batch."""
        return slice(self.rank, None, self.world)


ALONE = Place()


def place_of(fabric: Fabric | None) -> Place:
    """This process's place under torchrun."""
    if fabric is None or fabric.world_size == 1:
        return ALONE
    return Place(fabric.global_rank, fabric.world_size, torch.distributed.group.WORLD)
