"""SASRec: self-attention over the sequence (Kang, McAuley 2018, arXiv 1808.09781)."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.sequential_recommender.sasrec import SASRec as RecBoleSASRec
from torch import Tensor

from nearfar_seqrec.models.last_block import last_block
from nearfar_seqrec.models.next_item import NextItem

__all__ = ["SASRec"]


class SASRec(NextItem, RecBoleSASRec):  # type: ignore[misc]
    """RecBole's SASRec, weights and all, with a state at every place.

    Args:
        config: a RecBole ``Config``, or :func:`nearfar_seqrec.models.config.config_of`.
        dataset: a RecBole dataset, or :class:`nearfar_seqrec.models.config.Catalogue`.
    """

    def __init__(self, config: Any, dataset: Any) -> None:
        RecBoleSASRec.__init__(self, config, dataset)
        self.configure(config)

    def states(self, items: Tensor) -> Tensor:
        x, seen = self._embedded(items)
        states: Tensor = self.trm_encoder(x, seen, output_all_encoded_layers=False)[-1]
        return states

    def last_state(self, items: Tensor, length: Tensor) -> Tensor:
        x, seen = self._embedded(items)
        *blocks, last = self.trm_encoder.layer
        for block in blocks:
            x = block(x, seen)
        return last_block(last, x, seen, length - 1)

    def _embedded(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """What the first block is given: rows [B, L, width] and what each place sees."""
        place = torch.arange(items.shape[1], device=items.device)
        x = self.vectors_of(items) + self.position_embedding(place)  # B x L x width
        return self.dropout(self.LayerNorm(x)), self.get_attention_mask(items)
