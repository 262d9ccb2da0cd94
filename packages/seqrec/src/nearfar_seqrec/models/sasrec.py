"""SASRec: self-attention over the sequence (Kang, McAuley 2018, arXiv 1808.09781)."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.sequential_recommender.sasrec import SASRec as RecBoleSASRec
from torch import Tensor

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
        place = torch.arange(items.shape[1], device=items.device)
        x = self.item_embedding(items) + self.position_embedding(place)  # B x L x width
        x = self.dropout(self.LayerNorm(x))
        seen = self.get_attention_mask(items)
        states: Tensor = self.trm_encoder(x, seen, output_all_encoded_layers=False)[-1]
        return states
