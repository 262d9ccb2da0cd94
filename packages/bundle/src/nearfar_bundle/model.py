"""The model: evidence, and a hierarchical encoder whose inner products are added to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nearfar_bundle.bundle_encoders import encoder_of
from nearfar_bundle.encoder import ItemEncoder
from nearfar_bundle.evidence import Evidence
from nearfar_bundle.features import Block
from nearfar_bundle.settings import BundleSettings

__all__ = ["Features", "Model"]

WARM = 2  # training bundles: the id of an item in one alone can only remember that one


class Features:
    """What the encoder reads of I items.

    Attributes:
        dense: of each modality [I, D], zeros where it is missing. present: of each [I].
        content: how many of the modalities, from the first, are no collaborative vectors.
        degrees: [I], in how many training bundles each item is.
    """

    def __init__(
        self, dense: Sequence[Tensor], present: Sequence[Tensor], content: int, degrees: Tensor
    ) -> None:
        self.dense, self.present, self.content = list(dense), list(present), content
        self.degrees = degrees

    def __len__(self) -> int:
        return len(self.degrees)

    def to(self, device: torch.device) -> Features:
        """The same there."""
        dense = [own.to(device) for own in self.dense]
        present = [own.to(device) for own in self.present]
        return Features(dense, present, self.content, self.degrees.to(device))

    @property
    def widths(self) -> list[int]:
        return [own.shape[1] for own in self.dense]


class Model(nn.Module):
    """Scores of items for partial bundles.

    Attributes:
        items: encodes the items shown; those to be found too, unless the towers are separate.
        output: from a bundle's vector to what items are compared with; zero at the start, so that
            learning starts from the evidence.
    """

    def __init__(
        self, settings: BundleSettings, features: Features, blocks: Sequence[Block],
        units: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.settings = settings
        self.evidence = Evidence(blocks, features.degrees, units) if settings.evidence else None
        self.items: ItemEncoder | None = None
        self.candidates: ItemEncoder | None = None
        if settings.encoder:
            self.items = self._item_encoder(features)
            paper = settings.towers == "separate"
            self.candidates = self._item_encoder(features) if paper else None
            self.bundles = encoder_of(settings)
            self.output = nn.Identity() if paper else nn.Linear(settings.width, settings.width)
            if isinstance(self.output, nn.Linear) and settings.evidence:
                nn.init.zeros_(self.output.weight)
                nn.init.zeros_(self.output.bias)
            if settings.loss == "bce":
                # So that a class begins as likely as one in the catalogue is.
                self.bias = nn.Parameter(torch.tensor(-math.log(max(2, len(features)))))
            # The paper's second view of items is projected.
            self.projector = nn.Linear(settings.width, settings.width)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def _item_encoder(self, features: Features) -> ItemEncoder:
        own = self.settings
        paper = own.towers == "separate"
        return ItemEncoder(
            features.widths, 0 if own.id_rows == "none" else len(features), own.width,
            own.hidden_width, joined=features.content if paper else 0,
            cf=len(features.dense) > features.content,
        )  # fmt: skip

    def tokens(self, encoder: ItemEncoder, features: Features, numbers: Tensor
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """[n, M, width] and [n, M] of items."""
        known = torch.ones(len(numbers), dtype=torch.bool, device=numbers.device)
        if self.settings.id_rows == "warm":
            known = features.degrees[numbers] >= WARM
        return encoder.tokens(
            [own[numbers] for own in features.dense],
            [own[numbers] for own in features.present],
            numbers.clamp(max=encoder.ids.num_embeddings - 1) if encoder.ids else numbers,
            known,
        )

    def encoded(self, features: Features, numbers: Tensor) -> Tensor:
        """[n, width], the items as shown in a bundle."""
        assert self.items is not None
        return self.items.fuse(*self.tokens(self.items, features, numbers))

    def targets(self, features: Features, numbers: Tensor) -> Tensor:
        """[n, width], the items as those to be found."""
        encoder = self.candidates or self.items
        assert encoder is not None
        return encoder.fuse(*self.tokens(encoder, features, numbers))

    def bundle(self, items: Tensor, present: Tensor) -> Tensor:
        """[B, L, width], [B, L] -> [B, width]."""
        found: Tensor = self.output(self.bundles(items, present))
        return found
