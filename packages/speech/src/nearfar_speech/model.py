"""The network: an audio encoder, a decoder that spells the target, and two heads for contrast."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nearfar_speech.encoders.encoder import Encoder, padding_mask
from nearfar_speech.harness import PositionalEncoding, TransformerDecoder
from nearfar_speech.tokens import PAD

__all__ = ["Heard", "SpeechModel"]

_NEVER = -1e4  # added to a logit; finite, for a teacher's 0 * log 0


@dataclass(frozen=True)
class Heard:
    """What the encoder makes of a batch: frames [B, T, E], and [B, T] True where there are none."""

    frames: Tensor
    blank: Tensor

    def rows(self, index: Tensor) -> Heard:
        """Some clips of the batch, by number or by mask."""
        return Heard(self.frames[index], self.blank[index])

    def mean(self) -> Tensor:
        """[B, E]: the mean over each clip's own frames."""
        return _mean(self.frames, self.blank)


class SpeechModel(nn.Module):
    """Encoder and autoregressive decoder over one target string (Cappellazzo et al. 2023).

    Args:
        encoder: gives frames; they are normalised (layer norm) before anything else sees them.
        vocabulary: tokens, the special ones with them; the same for all tasks.
        width, layers, heads, dropout: of the decoder (pre-norm, sinusoidal places, a hidden layer
            of four times the width).
        contrast: width of both contrastive heads, each one linear layer.
    """

    silent: Tensor  # V: 0, and of tokens not used yet what keeps them from being spelt

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: int,
        *,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        contrast: int = 128,
    ) -> None:
        super().__init__()
        self.encoder, self.vocabulary, self.width = encoder, vocabulary, width
        self.normal = nn.LayerNorm(encoder.width)
        self.bridge = nn.Linear(encoder.width, width)
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.places = PositionalEncoding(width)
        self.decoder = TransformerDecoder(
            layers, heads, 4 * width, width, dropout=dropout, normalize_before=True
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, vocabulary)
        self.register_buffer("silent", torch.zeros(vocabulary))
        self.audio_head = nn.Linear(encoder.width, contrast)
        self.text_head = nn.Linear(width, contrast)

    def hear(self, features: Tensor, lengths: Tensor) -> Heard:
        """Features of the encoder's front [B, M, ...] and lengths [B]."""
        frames, counts = self.encoder.body(features, lengths)
        return Heard(self.normal(frames), padding_mask(counts, frames.shape[1]))

    def silence(self, tokens: Sequence[int]) -> None:
        """Tokens that no task has used yet: they are never spelt, and learn nothing before
        :meth:`allow`. Else each task would teach that they never come, and the task that brings
        them would take long to unlearn it."""
        self.silent[list(tokens)] = _NEVER

    def allow(self, tokens: Collection[int]) -> None:
        """Tokens that a task uses."""
        self.silent[list(tokens)] = 0

    def logits(self, spelt: Tensor) -> Tensor:
        """[..., width] of the decoder -> [..., V]."""
        logits: Tensor = self.output(spelt) + self.silent
        return logits

    def spell(self, heard: Heard, tokens: Tensor) -> Tensor:
        """Tokens [B, n] so far -> logits [B, n, V] of the next ones; each sees those before it."""
        memory = self.remember(heard)
        length = tokens.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        spelt, _, _ = self.decoder(
            self._placed(self.embedding(tokens) * math.sqrt(self.width)),
            memory,
            tgt_mask=later,
            memory_key_padding_mask=heard.blank,
        )
        return self.logits(spelt)

    def remember(self, heard: Heard) -> Tensor:
        """What the decoder looks at, [B, T, width]."""
        return self._placed(self.bridge(heard.frames))

    def audio(self, heard: Heard) -> Tensor:
        """h_a [B, C]: g_a of the mean frame; not normalised, for the losses do that."""
        projected: Tensor = self.audio_head(heard.mean())
        return projected

    def text(self, tokens: Tensor) -> Tensor:
        """h_t [B, C]: g_t of the mean embedding of tokens [B, n], PAD left out."""
        projected: Tensor = self.text_head(_mean(self.embedding(tokens), tokens == PAD))
        return projected

    def _placed(self, x: Tensor) -> Tensor:
        placed: Tensor = self.dropout(x + self.places(x))
        return placed


def _mean(values: Tensor, blank: Tensor) -> Tensor:
    """[B, T, D] over the T that are not blank -> [B, D]."""
    there = ~blank[..., None]
    return (values * there).sum(1) / there.sum(1).clamp(min=1)
