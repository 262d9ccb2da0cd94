"""ColloSSL: devices on one body supervise each other.

Jain, Tang, Min, Kawsar, Mathur 2022, "ColloSSL: collaborative self-supervised learning for human
activity recognition" (arXiv 2202.00758). Each device in turn is the anchor; device selection says
which other devices are positives and negatives and how heavy; contrastive sampling takes the same
moment of the positives and other moments of the negatives; the loss is the core's multi-view
weighted one.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

import nearfar.functional as F
from nearfar_har.augment import rotate
from nearfar_har.encoder import Encoder
from nearfar_har.pretext.task import Pretext, projection_head
from nearfar_har.sampling import asynchronous
from nearfar_har.selection import choose, device_distances
from nearfar_har.settings import Policy

__all__ = ["ColloSSL", "Negatives"]

Negatives = Literal["permuted", "in_batch", "both"]


class ColloSSL(Pretext):
    """The pretext task.

    Args:
        policy: device selection, see :func:`nearfar_har.selection.choose`.
        negatives: ``permuted``: one other moment of each negative device (the paper), or as many as
            ``permutations``; ``in_batch``: all other moments of each; ``both``.
        weighted: weigh negative devices by their inverse distance, or all alike.
        projection: width of the head between encoder and loss, 0 for none (the paper).
        rotation: spread in radians of a random turn of each window, as if each sensor were strapped
            on anew; 0 for none (the paper).
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        policy: Policy = "all",
        negatives: Negatives = "in_batch",
        permutations: int = 1,
        weighted: bool = True,
        temperature: float = 0.1,
        projection: int = 64,
        rotation: float = 0.6,
    ) -> None:
        super().__init__(encoder)
        self.head = projection_head(encoder.features, projection)
        self.policy: Policy = policy
        self.negatives: Negatives = negatives
        self.permutations = permutations
        self.weighted = weighted
        self.temperature = temperature
        self.rotation = rotation

    def forward(self, signals: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        rows, devices = present.shape
        # Absent windows are zeros: they are encoded with the rest, to keep one dense [devices, B]
        # of embeddings, and stand in no pair.
        windows = signals.transpose(0, 1).flatten(0, 1)
        if self.rotation > 0:
            windows = rotate(windows, self.rotation, generator)
        embedded = self.head(self.encoder(windows))
        z = embedded.unflatten(0, (devices, rows))  # devices x B x D
        distances = device_distances(signals, present)
        losses = []
        for anchor in range(devices):
            loss = self.anchor_loss(z, present, anchor, distances, generator)
            if loss is not None:
                losses.append(loss)
        # A batch in which no two devices were present together teaches nothing.
        return torch.cat(losses).mean() if losses else embedded.sum() * 0

    def anchor_loss(
        self,
        z: Tensor,
        present: Tensor,
        anchor: int,
        distances: Tensor,
        generator: torch.Generator,
    ) -> Tensor | None:
        """The loss of one device's rows [n], or None where it has no partner.

        Args:
            z: [devices, B, D] embeddings.
        """
        chosen = choose(anchor, distances, self.policy, generator)
        involved = [anchor, *chosen.positives, *chosen.negatives]
        moments = present[:, involved].all(1).nonzero().squeeze(1)
        if not chosen.positives or len(moments) < 2:
            return None
        z = z[:, moments]
        positives = z[list(chosen.positives)]
        negatives = z[list(chosen.negatives)]
        weights = chosen.negative_weights if self.weighted else None

        own = own_weights = None
        if self.negatives in ("permuted", "both"):
            views = negatives.repeat_interleave(self.permutations, dim=0)
            order = asynchronous(len(moments), len(views), generator)
            own = torch.stack([view[o] for view, o in zip(views, order, strict=True)])
            own_weights = (
                weights if weights is None else weights.repeat_interleave(self.permutations)
            )
        shared = negatives if self.negatives in ("in_batch", "both") else None
        return F.multi_view_weighted(
            z[anchor],
            positives,
            own_negatives=own,
            own_weights=own_weights,
            shared_negatives=shared,
            shared_weights=None if shared is None else weights,
            temperature=self.temperature,
            reduction="none",
        )
