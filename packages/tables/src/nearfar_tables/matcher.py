"""The matcher: does what two rows say of each attribute allow them to be one thing?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Matcher", "PairBatch"]


@dataclass(frozen=True)
class PairBatch:
    """B pairs of rows over m attributes.

    Attributes:
        left, right: [B, m, D] the cells' embeddings; anything where absent.
        left_present, right_present: [B, m] whether there is a cell.
        attribute: [B, m, F] similarities of the attribute; 0 where absent.
        record: [B, G] similarities of the rows.
    """

    left: Tensor
    right: Tensor
    left_present: Tensor
    right_present: Tensor
    attribute: Tensor
    record: Tensor

    def swapped(self) -> PairBatch:
        """The right row first."""
        return PairBatch(
            self.right,
            self.left,
            self.right_present,
            self.left_present,
            self.attribute,
            self.record,
        )


class Matcher(nn.Module):
    """Attribute-level self-attention over both rows, and a head that also sees similarities.

    The 2m cells of a pair are tokens: embedding + column + side + the attribute's similarities;
    single-head self-attention in which absent cells are masked; the mean over each side's present
    cells, u and v; then ``MLP([u, v, |u - v|, u * v])`` plus a linear form of the similarities
    themselves. The logit is the mean of both orders, so that it is symmetric. After AIJNet (Ji et
    al. 2024, arXiv 2412.00324), whose head sees u and v alone.

    Args:
        attributes: m. similarities: F, of an attribute. record: G, of a row.
        width: of tokens. dropout: in the head.
    """

    def __init__(
        self, attributes: int, similarities: int, record: int, embedding: int,
        *, width: int = 32, dropout: float = 0.2,
    ) -> None:  # fmt: skip
        super().__init__()
        self.project = nn.Linear(embedding, width)
        self.column = nn.Parameter(0.02 * torch.randn(attributes, width))
        self.side = nn.Parameter(0.02 * torch.randn(2, 1, width))
        self.similarity = nn.Linear(similarities, width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.head = nn.Sequential(
            nn.Linear(4 * width, 2 * width), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(2 * width, width), nn.ReLU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.answer = nn.Linear(width, 1)
        nn.init.zeros_(self.answer.weight)
        self.direct = nn.Linear(attributes * (similarities + 1) + record, 1)

    def forward(self, pairs: PairBatch) -> Tensor:
        """Logits [B] of "one thing"."""
        both = pairs.left_present & pairs.right_present  # B x m
        wide = torch.cat([pairs.attribute.flatten(1), (~both).float(), pairs.record], 1)
        deep = (self._ordered(pairs) + self._ordered(pairs.swapped())) / 2
        logits: Tensor = deep + self.direct(wide)[:, 0]
        return logits

    def rows(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """One vector a row [B, width], the mean of its cells' tokens: for losses between rows."""
        tokens = self.project(embeddings) + self.column  # B x m x width
        return _mean_over(tokens, present)

    def _ordered(self, pairs: PairBatch) -> Tensor:
        alike = self.similarity(pairs.attribute)
        left = self.project(pairs.left) + self.column + self.side[0] + alike
        right = self.project(pairs.right) + self.column + self.side[1] + alike
        tokens = torch.cat([left, right], 1)  # B x 2m x width
        present = torch.cat([pairs.left_present, pairs.right_present], 1)
        scores = self.query(tokens) @ self.key(tokens).transpose(1, 2) / tokens.shape[-1] ** 0.5
        # Not -inf: a pair without any cell would have weights of NaN.
        weights = scores.masked_fill(~present[:, None], -1e9).softmax(-1)
        tokens = tokens + weights @ self.value(tokens)
        m = pairs.left.shape[1]
        u = _mean_over(tokens[:, :m], pairs.left_present)
        v = _mean_over(tokens[:, m:], pairs.right_present)
        logits: Tensor = self.answer(self.head(torch.cat([u, v, (u - v).abs(), u * v], 1)))[:, 0]
        return logits


def _mean_over(tokens: Tensor, present: Tensor) -> Tensor:
    weight = present[..., None].to(tokens)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1)
