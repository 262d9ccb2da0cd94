"""GRU4Rec: a recurrent network over the sequence (Tan et al. 2016, arXiv 1606.08117)."""

from __future__ import annotations

from typing import Any

from recbole.model.sequential_recommender.gru4rec import GRU4Rec as RecBoleGRU4Rec
from torch import Tensor

from nearfar_seqrec.models.next_item import NextItem

__all__ = ["GRU4Rec"]


class GRU4Rec(NextItem, RecBoleGRU4Rec):  # type: ignore[misc]
    """RecBole's GRU4Rec, weights and all, with a state at every place."""

    def __init__(self, config: Any, dataset: Any) -> None:
        RecBoleGRU4Rec.__init__(self, config, dataset)
        self.configure(config)

    def states(self, items: Tensor) -> Tensor:
        states, _ = self.gru_layers(self.emb_dropout(self.vectors_of(items)))
        out: Tensor = self.dense(states)
        return out
