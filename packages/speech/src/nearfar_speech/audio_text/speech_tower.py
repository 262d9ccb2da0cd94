"""The tower that is trained: an encoder's frames, read in order, to one vector a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from nearfar_speech.audio import read_audio
from nearfar_speech.clip import Clip
from nearfar_speech.encoders import Encoder
from nearfar_speech.encoders.encoder import padded, padding_mask

__all__ = ["SpeechTower", "features_of"]


class SpeechTower(nn.Module):
    """Features of an encoder's front -> unit vectors [B, D].

    Two recurrent networks read the frames, one from the first on and one from the last back, so
    that their order is not lost; the means over what they give are projected.

    Args:
        encoder: its body is trained with the rest.
        dims: D.
        hidden: numbers of each network.
        dropout: of frames' numbers and of the mean's, in training.
    """

    def __init__(
        self, encoder: Encoder, dims: int, hidden: int = 64, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.norm = nn.LayerNorm(encoder.width)
        self.drop = nn.Dropout(dropout)
        self.onward = nn.GRU(encoder.width, hidden, batch_first=True)
        self.back = nn.GRU(encoder.width, hidden, batch_first=True)
        self.project = nn.Linear(2 * hidden, dims)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        frames, lengths = self.encoder.body(*padded(features))  # B x T x W
        frames = self.drop(self.norm(frames))
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


def features_of(encoder: Encoder, clips: Sequence[Clip | Path | str | Tensor]) -> list[Tensor]:
    """What the encoder's front makes of each clip, on the encoder's device.

    Args:
        clips: audio files, or samples [L] at 16 kHz.

    Raises:
        AudioFault: a file is no usable audio.
    """
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    features = []
    for clip in clips:
        if not isinstance(clip, Tensor):
            path = clip.path if isinstance(clip, Clip) else clip
            clip = torch.from_numpy(read_audio(path).samples)
        features.append(encoder.front(clip.to(device)))
    return features
