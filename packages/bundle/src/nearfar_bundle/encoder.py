"""An item's vector from its features, by self-attention. Ma et al. 2024, CLHE."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

__all__ = ["ItemEncoder", "attend", "mean_of"]


def attend(queries: Tensor, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
    """``softmax(Q K^T / sqrt(width)) V`` over what is present: [N, L, D], mask [N, L]."""
    scores = queries @ keys.transpose(1, 2) / queries.shape[2] ** 0.5
    scores = scores.masked_fill(~present[:, None, :], -1e9)
    found: Tensor = scores.softmax(2) @ values
    return found


def mean_of(rows: Tensor, present: Tensor) -> Tensor:
    """[N, L, D], [N, L] -> [N, D], the mean of what is present; zeros where nothing is."""
    count = present.sum(1, keepdim=True).clamp(min=1)
    return (rows * present[..., None]).sum(1) / count


class ItemEncoder(nn.Module):
    """An item's vector from a token a modality, those that it has.

    Args:
        widths: of the modalities' features.
        items: rows of the table of ids; 0: none.
        joined: how many of the modalities, from the first, make one token by their sum, as the
            paper joins content and text; 0: each is a token.
        cf: whether the last modality is a collaborative vector, whose place the joined token takes
            where it is missing, as in the paper.
    """

    def __init__(
        self, widths: Sequence[int], items: int, width: int, hidden: int, *, joined: int = 0,
        cf: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.joined, self.cf = joined, cf
        self.towers = nn.ModuleList(
            nn.Linear(own, width)
            if cf and number == len(widths) - 1
            else _tower(own, width, hidden)
            for number, own in enumerate(widths)
        )
        self.ids = nn.Embedding(items, width) if items else None
        if self.ids is not None:
            nn.init.xavier_normal_(self.ids.weight)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)

    def tokens(
        self, features: Sequence[Tensor], present: Sequence[Tensor], numbers: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """[n, M, width] and which of them are there [n, M].

        Args:
            features: of each modality [n, D]. present: of each [n].
            numbers: [n], rows of the table of ids. known: [n], which of them count.
        """
        made = [tower(own) for tower, own in zip(self.towers, features, strict=True)]
        there = list(present)
        if self.joined:
            together = sum(
                normalize(own, dim=1) * mask[:, None]
                for own, mask in zip(made[: self.joined], there[: self.joined], strict=True)
            )
            seen = torch.stack(there[: self.joined]).any(0)
            made, there = [together, *made[self.joined :]], [seen, *there[self.joined :]]
            if self.cf:
                made[-1] = torch.where(there[-1][:, None], made[-1], together)
                there[-1] = there[-1] | seen
        if self.ids is not None:
            made.append(self.ids(numbers))
            there.append(known)
        return normalize(torch.stack(made, 1), dim=2), torch.stack(there, 1)

    def fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        """[n, M, width] -> [n, width]."""
        return mean_of(attend(self.query(tokens), self.key(tokens), tokens, present), present)


def _tower(features: int, width: int, hidden: int) -> nn.Module:
    """The paper's two layers of ReLU and a linear one; linear alone where ``hidden`` is 0."""
    if not hidden:
        return nn.Linear(features, width)
    layers = [nn.Linear(features, features), nn.ReLU(), nn.Linear(features, hidden), nn.ReLU(),
              nn.Linear(hidden, width)]  # fmt: skip
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
    return nn.Sequential(*layers)
