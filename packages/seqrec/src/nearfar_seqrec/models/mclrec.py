"""MCLRec: augmenters that are learnt in steps of their own (Qin et al. 2023, arXiv 2304.07763)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize

import nearfar.functional as F
from nearfar_seqrec.batches import Batch
from nearfar_seqrec.models.next_item import Step, Views
from nearfar_seqrec.models.sasrec import SASRec

__all__ = ["MCLRec"]


class MCLRec(SASRec):
    """Two augmented views h1, h2 of a history, and what two learnt augmenters make of them, z1, z2.

    The encoder minimises ``next item + view_weight * C(h1, h2) + meta_weight * (K + gamma R)``, the
    augmenters ``K + gamma R``, where C is NT-Xent by inner products, ``K = C(h1, z2) + C(h2, z1) +
    C(z1, z2)``, R the margin regulariser over the same pairs and gamma ``margin_weight``.

    ``meta`` says in which steps: ``published`` is the authors' code, encoder, then augmenters, then
    the encoder again with the new ones; ``alternate`` is their paper, encoder, then augmenters;
    ``joint`` is one step of all parameters. No gradient goes through a step.
    """

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        width = self.hidden_size
        # Made after the encoder's initialisation: these keep torch's own.
        self.augmenters = nn.ModuleList(augmenter(width) for _ in range(2))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        if self.settings.meta == "joint":
            return super().parameter_groups()
        own = list(self.augmenters.parameters())
        others = {id(p) for p in own}
        return {
            "encoder": [p for p in self.parameters() if id(p) not in others],
            "augmenters": own,
        }

    def steps(self, batch: Batch, generator: Generator) -> list[Step]:
        if self.settings.meta == "joint":
            return super().steps(batch, generator)
        views = self.drawn_views(batch, generator)  # the same in all steps
        encoder = Step("encoder", partial(self.objective, batch, views, generator))
        # Without a weight nothing asks for what the augmenters make.
        learnt = [Step("augmenters", partial(self.augmenter_loss, views))]
        again = [encoder] if self.settings.meta == "published" else []
        return [encoder, *(learnt if self.settings.meta_weight else []), *again]

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        return self.objective(batch, self.drawn_views(batch, generator), generator)

    def objective(self, batch: Batch, views: Views, generator: Generator) -> Tensor:
        """What the encoder minimises."""
        s = self.settings
        loss = self.next_item_loss(batch, generator)
        if not (s.view_weight or s.meta_weight):
            return loss
        h1, h2 = self.view_states(views)
        if s.view_weight:
            loss = loss + s.view_weight * self.contrast(h1, h2, s.temperature)
        if s.meta_weight:
            loss = loss + s.meta_weight * self.meta_loss(h1, h2)
        return loss

    def augmenter_loss(self, views: Views) -> Tensor:
        """What the augmenters minimise, with the encoder as it is."""
        # The encoder is not stepped: without its graph the augmenters' gradient is the same.
        with torch.no_grad():
            h1, h2 = self.view_states(views)
        return self.meta_loss(h1, h2)

    def meta_loss(self, h1: Tensor, h2: Tensor) -> Tensor:
        """``K + gamma R`` of the views' states [B, width]."""
        z1, z2 = (normalize(w(h), dim=-1) for w, h in zip(self.augmenters, (h1, h2), strict=True))
        pairs = [(z1, z2)] if self.settings.pairs == "augmented" else [(h1, z2), (h2, z1), (z1, z2)]
        loss = torch.stack([self.contrast(a, b, 1.0) for a, b in pairs]).sum()
        if self.settings.margin_weight:
            margins = [
                F.contrastive_margin(a, b, over=self.settings.margin_over, group=self.group)
                for a, b in pairs
            ]
            loss = loss + self.settings.margin_weight * torch.stack(margins).sum()
        return loss

    def contrast(self, a: Tensor, b: Tensor, temperature: float) -> Tensor:
        return F.nt_xent(a, b, temperature=temperature, normalize=False, group=self.group)


def augmenter(width: int) -> nn.Sequential:
    """An augmenter of states: to a half, a quarter, and back."""
    return nn.Sequential(
        nn.Linear(width, width // 2), nn.GELU(),
        nn.Linear(width // 2, width // 4), nn.GELU(),
        nn.Linear(width // 4, width),
    )  # fmt: skip
