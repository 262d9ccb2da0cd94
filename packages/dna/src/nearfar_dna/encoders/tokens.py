"""What encoders of tokens share: BPE in, the mean over the tokens that are there out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from nearfar_dna.alphabet import Codes, decode
from nearfar_dna.encoders.encoder import Encoder, Hidden
from nearfar_kit.errors import UserError

__all__ = ["TokenEncoder"]

LONGEST_TOKEN = 16  # bases, for sure


class TokenEncoder(Encoder):
    """An encoder whose input is tokens.

    Args:
        tokenizer: with a token ``[PAD]``. max_tokens: what is beyond is not read.
    """

    embedding: nn.Embedding  # of tokens

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        super().__init__()
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        padding = tokenizer.token_to_id("[PAD]")
        if padding is None:
            raise ValueError("tokenizer has no token [PAD]; expected one")
        self.padding: int = padding

    def prepare(self, sequences: Sequence[Codes]) -> Tensor:
        """Tokens [N, T], T that of the longest."""
        texts = [decode(codes[: LONGEST_TOKEN * self.max_tokens]) for codes in sequences]
        try:
            rows = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        except Exception as error:  # tokenizers has no exception of its own
            raise UserError(f"the tokenizer cannot read DNA ({error})") from None
        longest = min(self.max_tokens, max(map(len, rows), default=1))
        tokens = np.full((len(rows), longest), self.padding, np.int64)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = row[:longest]
        if tokens.max(initial=0) >= self.embedding.num_embeddings:
            raise UserError(
                f"the tokenizer gives token {tokens.max()}; the encoder knows "
                f"{self.embedding.num_embeddings}"
            )
        return torch.from_numpy(tokens)


def mean_of_tokens(hidden: Hidden) -> Tensor:
    """[N, width] of [N, T, width]."""
    assert hidden.mask is not None
    weight = hidden.mask[..., None].to(hidden.values)
    rows: Tensor = (hidden.values * weight).sum(1) / weight.sum(1).clamp(min=1)
    return rows
