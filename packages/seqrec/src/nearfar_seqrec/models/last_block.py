"""The last transformer block, for the one place of each row that is asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["last_block"]


def last_block(block: Any, x: Tensor, seen: Tensor, place: Tensor) -> Tensor:
    """``block(x, seen)`` at ``place``, without the work for the other places.

    They are keys and values; their queries and their feed-forward network, most of a block, serve
    nobody after it. Values and gradients are the block's own.

    Args:
        block: a RecBole ``TransformerLayer``.
        x: [B, L, width]. seen: [B, 1, L, L], added to the scores. place: [B].

    Returns:
        [B, width].
    """
    attention = block.multi_head_attention
    row = torch.arange(len(x), device=x.device)
    own = x[row, place]  # B x width

    def by_head(projected: Tensor) -> Tensor:
        split = projected.view(*projected.shape[:2], attention.num_attention_heads, -1)
        return split.transpose(1, 2)

    query = by_head(attention.query(own)[:, None])  # B x heads x 1 x width / heads
    scores = query @ by_head(attention.key(x)).mT / attention.sqrt_attention_head_size
    scores = scores + seen[row, :, place][:, :, None]  # B x heads x 1 x L
    share = attention.attn_dropout(attention.softmax(scores))
    context = (share @ by_head(attention.value(x))).flatten(1)  # B x width
    context = attention.out_dropout(attention.dense(context))
    found: Tensor = block.feed_forward(attention.LayerNorm(context + own))
    return found
