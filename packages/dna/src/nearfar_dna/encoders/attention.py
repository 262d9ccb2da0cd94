"""Self-attention over tokens whose places are rotary or ALiBi: neither has a longest input."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["Positions", "alibi_slopes", "attend", "sequences_at_once"]

Positions = Literal["rotary", "alibi"]
SCORES = 2**26  # of all heads and sequences, at once
MOST = 64


def attend(qkv: Tensor, heads: int, mask: Tensor | None, positions: Positions) -> Tensor:
    """What each token takes from all: [N, T, width].

    Args:
        qkv: [N, T, 3 width], queries, keys and values, of each all heads.
        mask: [N, T], true where there is a token; or None.
        positions: rotary (Su et al. 2021, arXiv 2104.09864) or ALiBi to both sides (Press et al.
            2021, arXiv 2108.12409).
    """
    n, t, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    # 3 x N x heads x T x width of a head
    q, k, v = qkv.view(n, t, 3, heads, -1).permute(2, 0, 3, 1, 4)
    bias = None
    if mask is not None and not bool(mask.all()):
        # A row without a token, as two masks may leave, attends to all and is weighed 0.
        seen = mask | ~mask.any(1, keepdim=True)
        bias = q.new_zeros(n, 1, 1, t).masked_fill(~seen[:, None, None], -torch.inf)
    if positions == "alibi":
        place = torch.arange(t, device=q.device)
        distance = (place[:, None] - place).abs().to(q)
        near = -alibi_slopes(heads).to(q)[:, None, None] * distance  # heads x T x T
        bias = near[None] if bias is None else bias + near
    else:
        q, k = _rotated(q), _rotated(k)
    mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return mixed.transpose(1, 2).reshape(n, t, width)


def alibi_slopes(heads: int) -> Tensor:
    """[heads] how much a token's weight falls with its distance.

    Of a power of two, ``2^(-8 h / heads)``; of another number those of the next lower power, and
    then every second of the next higher one's.

    Example:
        >>> alibi_slopes(3).tolist()
        [0.0625, 0.00390625, 0.25]
    """
    power = 2 ** int(math.log2(heads))
    slopes: Tensor = 2.0 ** (-8 * torch.arange(1, power + 1, dtype=torch.float64) / power)
    if power < heads:
        slopes = torch.cat([slopes, alibi_slopes(2 * power)[::2][: heads - power].double()])
    return slopes.float()


def sequences_at_once(heads: int, tokens: int) -> int:
    """How many sequences of so many tokens are attended to together, for memory's sake."""
    return max(1, min(MOST, SCORES // (heads * tokens**2)))


def _rotated(x: Tensor) -> Tensor:
    """[N, heads, T, D] with its halves turned by an angle that grows with the place."""
    t, half = x.shape[2], x.shape[3] // 2
    rate = 10_000.0 ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(t, device=x.device)[:, None] * rate  # T x half
    sine, cosine = angle.sin().to(x), angle.cos().to(x)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)
