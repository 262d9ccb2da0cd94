"""A compact transformer over BPE tokens, whose layers can be stopped between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from nearfar_dna.alphabet import Codes, decode
from nearfar_dna.encoders.encoder import Encoder, Hidden

__all__ = ["TransformerEncoder"]

Positions = Literal["rotary", "alibi"]


class TransformerEncoder(Encoder):
    """Token embeddings, pre-norm layers, and the mean over the tokens that are there.

    Args:
        tokenizer: with a token ``[PAD]``. width: of tokens and rows. depth, heads, hidden: of the
            layers. positions: rotary (arXiv 2104.09864) or ALiBi (arXiv 2108.12409); neither has a
            longest input. max_tokens: what is beyond is not read.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        positions: Positions = "rotary",
        max_tokens: int = 512,
    ) -> None:
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"width is {width}; expected a multiple of twice the {heads} heads")
        self.tokenizer, self.width, self.max_tokens = tokenizer, width, max_tokens
        padding = tokenizer.token_to_id("[PAD]")
        if padding is None:
            raise ValueError("tokenizer has no token [PAD]; expected one")
        self.padding: int = padding
        self.embedding = nn.Embedding(tokenizer.get_vocab_size(), width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList(_Layer(width, heads, hidden, positions) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def prepare(self, sequences: Sequence[Codes]) -> Tensor:
        """Tokens [N, T], T that of the longest."""
        texts = [decode(codes[: 16 * self.max_tokens]) for codes in sequences]
        found = self.tokenizer.encode_batch(texts)
        rows = [encoding.ids[: self.max_tokens] for encoding in found]
        tokens = np.full((len(rows), max(map(len, rows), default=1)), self.padding, np.int64)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = row
        return torch.from_numpy(tokens)

    def begin(self, prepared: Tensor) -> Hidden:
        return Hidden(self.embedding(prepared), prepared.ne(self.padding))

    def end(self, hidden: Hidden) -> Tensor:
        values = self.norm(hidden.values)  # N x T x width
        assert hidden.mask is not None
        weight = hidden.mask[..., None].to(values)
        rows: Tensor = (values * weight).sum(1) / weight.sum(1).clamp(min=1)
        return rows


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, positions: Positions) -> None:
        super().__init__()
        self.heads, self.positions = heads, positions
        self.before_attention, self.before_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.into = nn.Linear(width, hidden)
        self.back = nn.Linear(hidden, width)

    def forward(self, hidden: Hidden) -> Hidden:
        x = hidden.values + self._attend(self.before_attention(hidden.values), hidden.mask)
        return Hidden(x + self.back(gelu(self.into(self.before_feed(x)))), hidden.mask)

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        n, t, width = x.shape
        # 3 x N x heads x T x width of a head
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = x.new_zeros(n, 1, 1, t)
        if mask is not None:
            # A row without a token, as two masks may leave, attends to all and is weighed 0.
            seen = mask | ~mask.any(1, keepdim=True)
            bias = bias.masked_fill(~seen[:, None, None], -torch.inf)
        if self.positions == "alibi":
            place = torch.arange(t, device=x.device)
            slope = 2.0 ** (-8 * torch.arange(1, self.heads + 1, device=x.device) / self.heads)
            distance = (place[:, None] - place).abs()
            bias = bias - (slope[:, None, None] * distance).to(x)
        else:
            q, k = _rotated(q), _rotated(k)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q))
        rows: Tensor = self.out(mixed.transpose(1, 2).reshape(n, t, width))
        return rows


def _rotated(x: Tensor) -> Tensor:
    """[N, heads, T, D] with its halves turned by an angle that grows with the place."""
    t, half = x.shape[2], x.shape[3] // 2
    rate = 10_000.0 ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(t, device=x.device)[:, None] * rate  # T x half
    sine, cosine = angle.sin().to(x), angle.cos().to(x)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)
