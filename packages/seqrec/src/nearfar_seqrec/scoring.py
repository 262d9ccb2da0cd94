"""Scores of the whole catalogue for a history, a part of the catalogue at a time."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["ModelScorer", "Scored", "Scorer"]


@dataclass(frozen=True)
class Scored:
    """The scores of a batch of B histories, not computed.

    Attributes:
        part: a slice of item numbers, padding's 0 among them -> [B, n].
        own: an item number a history [B] -> [B].
    """

    part: Callable[[slice], Tensor]
    own: Callable[[Tensor], Tensor]


class Scorer(Protocol):
    """What ranks a catalogue: histories [B, L], padded with 0 on the right, none empty."""

    @property
    def items(self) -> int:
        """The highest item number."""
        ...

    def __call__(self, histories: Tensor) -> Scored: ...


class ModelScorer:
    """A model's scores, computed in float64: what a batch is made of then shows in no rank."""

    def __init__(self, model: Any) -> None:
        # The group of processes cannot be copied; the copy scores alone.
        self.model = deepcopy(model, {id(model.group): None}).double().eval()
        self.weight: Tensor = self.model.item_vectors().detach()
        self.items = len(self.weight) - 1
        self.longest = self.model.settings.longest

    @torch.no_grad()
    def states(self, histories: Tensor) -> Tensor:
        """The vector of each history, whose inner product with an item's is its score: [B, width].

        Of longer ones the last ``longest`` items are taken.
        """
        device = self.weight.device
        length = (histories > 0).sum(1)
        if histories.shape[1] > self.longest:
            first = (length - self.longest).clamp(min=0)[:, None]
            at = first + torch.arange(self.longest)
            histories, length = histories.gather(1, at), length.clamp(max=self.longest)
        states: Tensor = self.model.last_state(histories.to(device), length.to(device))
        return states

    def __call__(self, histories: Tensor) -> Scored:
        states = self.states(histories)
        return Scored(
            lambda items: states @ self.weight[items].T,
            lambda target: (states * self.weight[target.to(states.device)]).sum(1),
        )
