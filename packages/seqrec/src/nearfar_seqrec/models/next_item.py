"""What the models have in common: states at every place, and the loss of the next item."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

import nearfar.functional as F
from nearfar.batch import Group
from nearfar_seqrec import augment
from nearfar_seqrec.batches import Batch
from nearfar_seqrec.features import ItemFeatures
from nearfar_seqrec.models.config import settings_of
from nearfar_seqrec.settings import SeqrecSettings

__all__ = ["NextItem", "Step", "Views"]


Views = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


class Step(NamedTuple):
    """One optimizer step: which parameters, and the loss to minimise over them."""

    parameters: str
    loss: Callable[[], Tensor]


class NextItem:
    """Beside a RecBole model: its states at every place, and training by the core's losses.

    Attributes:
        settings: those that RecBole's config holds.
        counts: [items + 1], how often each was trained on, or None.
        similar: [items + 1], the item most like each, or None.
        group: the processes that share a batch, or None.
    """

    settings: SeqrecSettings
    counts: Tensor | None = None
    similar: Tensor | None = None
    group: Group = None
    item_embedding: nn.Embedding
    feature_embedding: nn.EmbeddingBag | None
    feature: Tensor
    feature_start: Tensor
    parameters: Any
    register_buffer: Any

    def configure(self, config: Any) -> None:
        self.settings = settings_of(config)
        self.feature_embedding = None

    def learn_features(self, features: ItemFeatures) -> None:
        """Items are from now on their own vector plus the mean of their features' vectors."""
        self.feature_embedding = nn.EmbeddingBag(
            len(features.names), self.settings.width, mode="mean", include_last_offset=True
        )
        nn.init.normal_(self.feature_embedding.weight, std=0.02)
        for name, numbers in (("feature", features.feature), ("feature_start", features.start)):
            self.register_buffer(name, torch.from_numpy(numbers), persistent=False)

    def item_vectors(self) -> Tensor:
        """The vector of each item, padding's first: [items + 1, width]."""
        weight = self.item_embedding.weight
        if self.feature_embedding is None:
            return weight
        found: Tensor = weight + self.feature_embedding(self.feature, self.feature_start)
        return found

    def vectors_of(self, items: Tensor) -> Tensor:
        """[...] -> [..., width]."""
        if self.feature_embedding is None:
            own: Tensor = self.item_embedding(items)
            return own
        return nn.functional.embedding(items, self.item_vectors())

    def states(self, items: Tensor) -> Tensor:
        """The state after each place, from it and those before it: [B, L] -> [B, L, width]."""
        raise NotImplementedError

    def last_state(self, items: Tensor, length: Tensor) -> Tensor:
        """The state after the last item of each row: [B, width]."""
        states = self.states(items)
        return states[torch.arange(len(items), device=items.device), length - 1]

    def next_item_loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Cross-entropy of the next item over the catalogue, mean over targets."""
        asked = batch.targets > 0
        target = batch.targets[asked]  # n
        if len(target) == len(batch):  # one a row: a model may know a shorter way
            hidden = self.last_state(batch.items, asked.long().argmax(1) + 1)
        else:
            hidden = self.states(batch.items)[asked]  # n x width
        weight = self.item_vectors()
        if self.settings.loss == "full":
            return F.linear_cross_entropy(hidden, weight, target, group=self.group)
        drawn, log_q = (t.to(target.device) for t in self._sample(len(weight), generator))
        return F.sampled_softmax(
            hidden, weight[target], weight[drawn], target, drawn, log_q=log_q, group=self.group
        )

    def _sample(self, items: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Item numbers drawn as often as they were trained on, and the log of that share."""
        counts = torch.zeros(items) if self.counts is None else self.counts.float()
        share = counts + 1
        share[0] = 0
        share /= share.sum()
        drawn = torch.multinomial(
            share, self.settings.sampled_items, replacement=True, generator=generator
        )
        return drawn, share[drawn].log()

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """The whole objective of a batch."""
        return self.next_item_loss(batch, generator)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the name that :class:`Step` calls them."""
        return {"all": list(self.parameters())}

    def steps(self, batch: Batch, generator: Generator) -> list[Step]:
        """The optimizer steps of a batch, in their order."""
        return [Step("all", partial(self.loss, batch, generator))]

    def drawn_views(self, batch: Batch, generator: Generator) -> Views:
        """Two augmented views of each history: (items [B, P], lengths [B]) twice."""
        return augment.two_views(
            batch.prefix, batch.prefix_length, self._augmentations(), generator
        )

    def view_states(self, views: Views) -> tuple[Tensor, Tensor]:
        """The views' last states: [B, width] twice."""
        first, second = views
        return self.last_state(*first), self.last_state(*second)

    def _augmentations(self) -> list[augment.Augmentation]:
        found: list[augment.Augmentation] = []
        for name in self.settings.augmentations:
            options: dict[str, Any] = {"ratio": getattr(self.settings, f"{name}_ratio")}
            if name in ("insert", "substitute"):
                if self.similar is None:
                    raise ValueError(f"{name} needs similar items; expected model.similar")
                options["similar"] = self.similar
            found.append(partial(getattr(augment, name), **options))
        return found

    # What RecBole's own trainer and evaluator call.

    def calculate_loss(self, interaction: Any) -> Tensor:
        """RecBole's training loss: the objective of one target a row, all parameters together.

        DuoRec's other history is then the row itself (dropout alone tells the views apart).
        """
        model: Any = self
        items, length = interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN]
        targets = torch.zeros_like(items)
        targets[torch.arange(len(items), device=items.device), length - 1] = interaction[
            model.POS_ITEM_ID
        ]
        batch = Batch(items, targets, items, length, items, length)
        return self.loss(batch, torch.default_generator)
