"""The tower that is trained: an encoder's frames, read in order, to one vector a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from nearfar_speech.clip import Clip
from nearfar_speech.encoders import Encoder
from nearfar_speech.encoders.encoder import padded, padding_mask
from nearfar_speech.features import Features

__all__ = ["SpeechTower", "features_of", "in_pairs"]


class SpeechTower(nn.Module):
    """Features of an encoder's front -> unit vectors [B, D].

    Two recurrent networks read the means of two frames at a time, one from the first on and one
    from the last back, so that their order is not lost; the means over what they give are
    projected.

    Args:
        encoder: its body is trained with the rest.
        dims: D.
        hidden: numbers of each network.
        dropout: of frames' numbers and of the mean's, in training.
    """

    def __init__(self, encoder: Encoder, dims: int, hidden: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = encoder
        self.norm = nn.LayerNorm(encoder.width)
        self.drop = nn.Dropout(dropout)
        self.onward = nn.GRU(encoder.width, hidden, batch_first=True)
        self.back = nn.GRU(encoder.width, hidden, batch_first=True)
        self.project = nn.Linear(2 * hidden, dims)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        frames, lengths = self.encoder.body(*padded(features))  # B x T x W
        frames, lengths = in_pairs(self.norm(frames), lengths)
        frames = self.drop(frames)
        blank = padding_mask(lengths, frames.shape[1])[..., None]
        places = torch.arange(frames.shape[1], device=lengths.device)
        turned = (lengths[:, None] - 1 - places).clamp(min=0)  # B x T, padding stays at the end
        reverse = frames.gather(1, turned[..., None].expand_as(frames))
        # Padding comes after all that is real: no packing, which is three times as slow.
        read = torch.cat([self.onward(frames)[0], self.back(reverse)[0]], 2)  # B x T x 2H
        mean = read.masked_fill(blank, 0).sum(1) / lengths[:, None]
        return normalize(self.project(self.drop(mean)), dim=1)

    @torch.no_grad()
    def embed(self, features: Sequence[Tensor], batch: int = 64) -> Tensor:
        """[N, D], without dropout."""
        self.eval()
        parts = [self(features[i : i + batch]) for i in range(0, len(features), batch)]
        return torch.cat(parts)


def in_pairs(frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """[B, T, W] and lengths [B] -> the means of frames 0 and 1, of 2 and 3, and so on, a last one
    that is left as it is: [B, ceil(T / 2), W] and their lengths [B]."""
    odd = frames.shape[1] % 2
    there = pad(~padding_mask(lengths, frames.shape[1]), (0, odd))[..., None]
    frames = pad(frames, (0, 0, 0, odd)).masked_fill(~there, 0)
    pairs, counts = (x[:, ::2] + x[:, 1::2] for x in (frames, there.int()))
    return pairs / counts.clamp(min=1), (lengths + 1) // 2


def features_of(features: Features, clips: Sequence[Clip | Path | str]) -> list[Tensor]:
    """Of each clip, by its path or by the name under which it was added.

    Raises:
        AudioFault: a file is no usable audio.
    """
    return [features.of(clip.path if isinstance(clip, Clip) else clip) for clip in clips]
