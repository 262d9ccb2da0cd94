"""A compact transformer over BPE tokens, whose layers can be stopped between."""

from __future__ import annotations

from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import gelu

from nearfar_dna.encoders.attention import Positions, attend, sequences_at_once
from nearfar_dna.encoders.encoder import Hidden
from nearfar_dna.encoders.tokens import TokenEncoder, mean_of_tokens

__all__ = ["TransformerEncoder"]


class TransformerEncoder(TokenEncoder):
    """Token embeddings, pre-norm layers, and the mean over the tokens that are there.

    Args:
        tokenizer: with a token ``[PAD]``. width: of tokens and rows. depth, heads, hidden: of the
            layers. positions: rotary or ALiBi. max_tokens: what is beyond is not read.
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
        super().__init__(tokenizer, max_tokens)
        if width % (2 * heads):
            raise ValueError(f"width is {width}; expected a multiple of twice the {heads} heads")
        if depth < 1:
            raise ValueError(f"depth is {depth}; expected 1 or more")
        self.width, self.batch = width, sequences_at_once(heads, max_tokens)
        self.embedding = nn.Embedding(tokenizer.get_vocab_size(), width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList(_Layer(width, heads, hidden, positions) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def begin(self, prepared: Tensor) -> Hidden:
        return Hidden(self.embedding(prepared), prepared.ne(self.padding))

    def end(self, hidden: Hidden) -> Tensor:
        return mean_of_tokens(Hidden(self.norm(hidden.values), hidden.mask))


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
        x, mask = hidden.values, hidden.mask
        qkv = self.qkv(self.before_attention(x))
        x = x + self.out(attend(qkv, self.heads, mask, self.positions))
        return Hidden(x + self.back(gelu(self.into(self.before_feed(x)))), mask)
