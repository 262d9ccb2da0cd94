"""CL4SRec: two augmented views of a history find each other (Xie et al. 2022, arXiv 2010.14395)."""

from __future__ import annotations

from torch import Generator, Tensor

import nearfar.functional as F
from nearfar_seqrec.batches import Batch
from nearfar_seqrec.models.sasrec import SASRec

__all__ = ["CL4SRec"]


class CL4SRec(SASRec):
    """``next item + view_weight * NT-Xent(h1, h2)`` by inner products over the temperature."""

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        loss = self.next_item_loss(batch, generator)
        if self.settings.view_weight:
            loss = loss + self.settings.view_weight * F.nt_xent(
                *self.view_states(self.drawn_views(batch, generator)),
                temperature=self.settings.temperature,
                normalize=False,
                group=self.group,
            )
        return loss
