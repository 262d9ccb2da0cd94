"""Spelling a token at a time: keys and values of what came before are kept, not made again."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from nearfar_speech.model import Heard, SpeechModel

__all__ = ["IncrementalSpelling"]


class IncrementalSpelling:
    """``SpeechModel.spell`` of growing sentences, their last logits alone.

    The model must be in evaluation mode. Each clip's frames are projected once, and all sentences
    of a clip look at them together.

    Args:
        heard: the clips.
    """

    def __init__(self, model: SpeechModel, heard: Heard) -> None:
        self.model = model
        self.seen = ~heard.blank
        memory = model.remember(heard)
        self.frames = [
            _keys_and_values(layer.multihead_attn.att, memory) for layer in model.decoder.layers
        ]
        self.past: list[tuple[Tensor, Tensor]] = []  # a layer: [R, heads, n, d]

    def __call__(self, clips: Tensor, tokens: Tensor, parents: Tensor) -> Tensor:
        """Logits [C * K, V] of the next tokens.

        Args:
            clips: [C] numbers.
            tokens: [C * K, n], K sentences a clip, one token longer than at the call before.
            parents: [C * K] which row of the call before each of them goes on from.
        """
        model, last = self.model, tokens.shape[1] - 1
        x = model.embedding(tokens[:, -1:]) * math.sqrt(model.width)
        x = x + model.places.pe[:, last : last + 1]
        now = []
        for number, layer in enumerate(model.decoder.layers):
            inner = layer.norm1(x)
            own = _keys_and_values(layer.self_attn.att, inner)
            if self.past:
                own = tuple(  # type: ignore[assignment]
                    torch.cat([before[parents], new], dim=2)
                    for before, new in zip(self.past[number], own, strict=True)
                )
            now.append(own)
            x = x + _attend(layer.self_attn.att, inner, *own)
            together = layer.norm2(x).view(len(clips), -1, model.width)  # C x K x width
            keys, values = (kept[clips] for kept in self.frames[number])
            seen = self.seen[clips, None, None]
            x = x + _attend(layer.multihead_attn.att, together, keys, values, seen).view_as(x)
            x = x + layer.pos_ffn(layer.norm3(x))
        self.past = now
        return model.logits(model.decoder.norm(x))[:, -1]


def _heads(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """[B, n, width] -> [B, heads, n, width of a head]."""
    return x.view(*x.shape[:2], attention.num_heads, -1).transpose(1, 2)


def _keys_and_values(attention: nn.MultiheadAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    width = attention.embed_dim
    assert attention.in_proj_weight is not None
    both = linear(x, attention.in_proj_weight[width:], attention.in_proj_bias[width:])
    keys, values = both.chunk(2, dim=2)
    return _heads(attention, keys), _heads(attention, values)


def _attend(
    attention: nn.MultiheadAttention,
    x: Tensor,
    keys: Tensor,
    values: Tensor,
    seen: Tensor | None = None,
) -> Tensor:
    width = attention.embed_dim
    assert attention.in_proj_weight is not None
    queries = linear(x, attention.in_proj_weight[:width], attention.in_proj_bias[:width])
    found = scaled_dot_product_attention(_heads(attention, queries), keys, values, attn_mask=seen)
    projected: Tensor = attention.out_proj(found.transpose(1, 2).flatten(2))
    return projected
