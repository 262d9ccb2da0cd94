"""Captions to vectors by a small network that reads their words in order."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

__all__ = ["CaptionTower"]

_BUCKETS = 4096


class CaptionTower(nn.Module):
    """Texts -> unit vectors [N, D].

    A word is the mean of the vectors of its letters' n-grams, two to four long, and of itself
    (Bojanowski et al. 2017, 1607.04606), so that there is no vocabulary; a recurrent network reads
    the words.

    Args:
        dims: D.
        width: numbers a word, and of the network.
    """

    def __init__(self, dims: int, width: int = 64) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(_BUCKETS, width, mode="mean")
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.project = nn.Linear(width, dims)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Raises ValueError where a text has no word."""
        parts = [text.split() for text in texts]
        if not all(parts):
            raise ValueError("a caption has no word; expected one or more")
        known = {word: i for i, word in enumerate(dict.fromkeys(w for ws in parts for w in ws))}
        device = self.project.weight.device
        grams = [torch.tensor(_grams(word), device=device) for word in known]
        starts = torch.tensor([0, *map(len, grams[:-1])], device=device).cumsum(0)
        vectors = self.words(torch.cat(grams), starts)  # words x W
        rows = [vectors[[known[w] for w in ws]] for ws in parts]
        packed = pack_padded_sequence(
            pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows]), True,
            enforce_sorted=False,
        )  # fmt: skip
        last = self.recurrent(packed)[1][0]  # N x W
        return normalize(self.project(last), dim=1)

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """[N, D]."""
        return torch.as_tensor(self(texts))


def _grams(word: str) -> list[int]:
    marked = f"<{word}>"
    grams = [marked[i : i + n] for n in (2, 3, 4) for i in range(len(marked) - n + 1)]
    return [crc32(gram.encode()) % _BUCKETS for gram in (marked, *grams)]
