"""The backbone of DNABERT-2 and DNABERT-S, for their published weights."""

from __future__ import annotations

from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import gelu

from nearfar_dna.encoders.attention import attend, sequences_at_once
from nearfar_dna.encoders.encoder import Hidden
from nearfar_dna.encoders.tokens import TokenEncoder, mean_of_tokens

__all__ = ["DnabertEncoder"]

EPSILON = 1e-12
KINDS = 2  # BERT's first and second sentence, of which DNA is always the first


class DnabertEncoder(TokenEncoder):
    """BERT with ALiBi, gated linear units and one matrix for queries, keys and values.

    Zhou et al. 2023 (arXiv 2306.15006), 2024 (arXiv 2402.08777), after MosaicBERT (Portes et al.
    2023, arXiv 2312.17482): norms come after the sums, ``[CLS]`` and ``[SEP]`` count in the mean.
    Without the dropout that they were trained with, so that resumed runs go on to the same numbers.

    Args:
        tokenizer: with a token ``[PAD]``. vocabulary: rows of the table of tokens.
        width: of tokens and rows. depth, heads, hidden: of the layers.
        max_tokens: what is beyond is not read.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        vocabulary: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        max_tokens: int = 2000,
    ) -> None:
        super().__init__(tokenizer, max_tokens)
        if width % heads:
            raise ValueError(f"width is {width}; expected a multiple of the {heads} heads")
        if tokenizer.get_vocab_size() > vocabulary:
            raise ValueError(
                f"tokenizer has {tokenizer.get_vocab_size()} tokens; expected at most {vocabulary}"
            )
        self.width, self.batch = width, sequences_at_once(heads, max_tokens)
        self.embedding = nn.Embedding(vocabulary, width)
        self.kinds = nn.Embedding(KINDS, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.layers = nn.ModuleList(_Layer(width, heads, hidden) for _ in range(depth))

    def begin(self, prepared: Tensor) -> Hidden:
        tokens = self.embedding(prepared) + self.kinds.weight[0]
        return Hidden(self.norm(tokens), prepared.ne(self.padding))

    def end(self, hidden: Hidden) -> Tensor:
        return mean_of_tokens(hidden)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.after_attention = nn.LayerNorm(width, eps=EPSILON)
        self.gated = nn.Linear(width, 2 * hidden, bias=False)
        self.back = nn.Linear(hidden, width)
        self.after_feed = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, hidden: Hidden) -> Hidden:
        x, mask = hidden.values, hidden.mask
        x = self.after_attention(x + self.out(attend(self.qkv(x), self.heads, mask, "alibi")))
        gate, values = self.gated(x).chunk(2, -1)
        return Hidden(self.after_feed(x + self.back(gelu(gate) * values)), mask)
