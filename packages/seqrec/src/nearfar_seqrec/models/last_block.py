"""The last transformer block, for the one place of each row that is asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

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

    context = scaled_dot_product_attention(
        by_head(attention.query(own)[:, None]),  # B x heads x 1 x width / heads
        by_head(attention.key(x)),
        by_head(attention.value(x)),
        attn_mask=seen[row, :, place][:, :, None].to(x.dtype),  # B x 1 x 1 x L
        dropout_p=attention.attn_dropout.p if block.training else 0.0,
    )
    context = attention.out_dropout(attention.dense(context.flatten(1)))
    found: Tensor = block.feed_forward(attention.LayerNorm(context + own))
    return found
