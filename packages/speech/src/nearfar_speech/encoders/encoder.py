"""What every audio encoder is: a front that is never trained, and a body that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

__all__ = ["Encoder", "padded", "padding_mask"]

Frames = tuple[Tensor, Tensor]


class Encoder(nn.Module, ABC):
    """Samples at 16 kHz to frames; no result depends on padding or on the rest of the batch.

    The front works on one clip at a time and holds nothing that is trained, so that what it gives
    can be kept: it is exact however often, and beside whomever, the clip comes again.

    Attributes:
        width: numbers a frame, D.
        pretrained: whether the body begins with weights that were learnt before.
    """

    width: int
    pretrained: bool = False

    @abstractmethod
    def front(self, samples: Tensor) -> Tensor:
        """One clip [L] within -1 to 1 -> its features [M, ...], M >= 1, without gradient."""

    @abstractmethod
    def body(self, features: Tensor, lengths: Tensor) -> Frames:
        """Features [B, M, ...], padded by anything, and lengths [B] -> frames [B, T, D], their
        lengths [B]."""

    def forward(self, samples: Tensor, lengths: Tensor) -> Frames:
        """Samples [B, L], padded by anything, and lengths [B] -> frames [B, T, D] and lengths [B].

        Raises:
            ValueError: shapes disagree, or a length is not within 1 to L.
        """
        if samples.ndim != 2 or lengths.shape != samples.shape[:1]:
            raise ValueError(
                f"samples are {tuple(samples.shape)}, lengths {tuple(lengths.shape)}; "
                "expected [B, L] and [B]"
            )
        if len(lengths) == 0 or lengths.min() < 1 or lengths.max() > samples.shape[1]:
            raise ValueError(f"lengths are not within 1 to {samples.shape[1]} samples")
        clips = [clip[:n] for clip, n in zip(samples, lengths.tolist(), strict=True)]
        return self.body(*padded([self.front(clip) for clip in clips]))


def padded(features: Sequence[Tensor]) -> Frames:
    """[M_i, ...] each -> [B, M, ...] padded with zeros, and lengths [B]."""
    lengths = torch.tensor([len(f) for f in features], device=features[0].device)
    return pad_sequence(list(features), batch_first=True), lengths


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """[B] -> [B, size], True where there is padding."""
    return torch.arange(size, device=lengths.device)[None] >= lengths[:, None]
