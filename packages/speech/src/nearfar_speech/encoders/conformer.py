"""Filter banks and a Conformer (Gulati et al. 2020, 2005.08100), from scratch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad

from nearfar_speech.encoders.encoder import Encoder, padding_mask
from nearfar_speech.harness import ConformerEncoder, Fbank, RelPosEncXL

__all__ = ["Conformer"]

_BANDS = 80
_STACKED = 4  # frames of 10 ms that become one


class Conformer(Encoder):
    """A frame every 40 ms: 80 filter banks, normalised over the clip, four frames in one.

    Its convolutions look back only: in SpeechBrain's others what is padded reaches the clip.

    Args:
        width: numbers a frame; a multiple of twice the heads.
        layers, heads: of the Conformer.
        dropout: in training.
    """

    def __init__(
        self, width: int = 144, layers: int = 4, heads: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.width = width
        self.banks = Fbank(n_mels=_BANDS)
        self.into = nn.Linear(_STACKED * _BANDS, width)
        self.places = RelPosEncXL(width)
        self.layers = ConformerEncoder(
            layers, width, 4 * width, heads, kernel_size=15, dropout=dropout, causal=True
        )

    @torch.no_grad()
    def front(self, samples: Tensor) -> Tensor:
        """[L] -> [M, 320]."""
        bands = self.banks(samples[None])[0]  # frames x 80
        bands = layer_norm(bands, bands.shape)
        bands = pad(bands, (0, 0, 0, -len(bands) % _STACKED))
        return bands.reshape(-1, _STACKED * _BANDS)

    def body(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = self.into(features)
        blank = padding_mask(lengths, x.shape[1])
        frames, _ = self.layers(x, src_key_padding_mask=blank, pos_embs=self.places(x))
        return frames, lengths
