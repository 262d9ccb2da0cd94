"""DuoRec: dropout, and histories with the same next item (Qiu et al. 2022, arXiv 2110.05730)."""

from __future__ import annotations

from torch import Generator, Tensor

import nearfar.functional as F
from nearfar_seqrec.batches import Batch
from nearfar_seqrec.models.sasrec import SASRec

__all__ = ["DuoRec"]


class DuoRec(SASRec):
    """``next item + view_weight * NT-Xent(h', h'')``: h' the history anew, under other dropout,

    h'' another history that the same item came after.
    """

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        loss = self.next_item_loss(batch, generator)
        if self.settings.view_weight:
            loss = loss + self.settings.view_weight * F.nt_xent(
                self.last_state(batch.prefix, batch.prefix_length),
                self.last_state(batch.alike, batch.alike_length),
                temperature=self.settings.temperature,
                normalize=False,
                group=self.group,
            )
        return loss
