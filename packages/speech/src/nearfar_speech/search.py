"""Beam search with the paper's length penalty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Categorical

from nearfar_speech.incremental import IncrementalSpelling
from nearfar_speech.model import SpeechModel
from nearfar_speech.tokens import EOS, SOS

__all__ = ["Hypothesis", "beam_search", "decode"]


@dataclass(frozen=True)
class Hypothesis:
    """Tokens without SOS and EOS; ``score`` is the log probability over the length penalty."""

    tokens: tuple[int, ...]
    score: float


def beam_search(
    following: Callable[[Tensor, Tensor, Tensor], Tensor],
    clips: int,
    *,
    beam: int = 5,
    limit: int = 100,
    penalty: float = 0.6,
    device: torch.device | str = "cpu",
) -> list[Hypothesis]:
    """The best sentence of each clip, by log p / ((5 + n) / 6)^penalty with n its tokens, EOS with
    them (Wu et al. 2016, 1609.08144).

    SpeechBrain's searcher divides by the length itself. A sentence ends where EOS is among the best
    ``beam`` continuations; at ``limit`` tokens it ends as it is.

    Args:
        following: numbers [C] of the clips that go on, tokens so far of K sentences each
            [C * K, n], and the row [C * K] of the call before that each goes on from (none at the
            first) -> log probabilities [C * K, V].
        clips: how many; all are searched at once, none depends on another.
    """
    best = [Hypothesis((), -torch.inf)] * clips
    active = torch.arange(clips, device=device)
    tokens = torch.full((clips, 1, 1), SOS, device=device)  # clips x beam x n
    scores = torch.zeros(clips, 1, device=device)
    parents = torch.arange(clips, device=device)
    for length in range(1, limit + 1):
        rows, width, _ = tokens.shape
        found = following(active, tokens.flatten(0, 1), parents)
        total = scores[..., None] + found.view(rows, width, -1)  # rows x width x V
        size = total.shape[2]
        # Twice as many as are kept: half of them may end.
        values, places = total.flatten(1).topk(min(2 * beam, width * size), dim=1)
        origin, token = places // size, places % size
        ends = token == EOS
        longer = torch.cat([tokens.gather(1, origin[..., None].expand(-1, -1, length)),
                            token[..., None]], dim=2)  # fmt: skip
        own = values / _penalty(length, penalty)
        for row, rank in ends[:, :beam].nonzero().tolist():
            clip, score = int(active[row]), float(own[row, rank])
            if score > best[clip].score:
                best[clip] = Hypothesis(tuple(longer[row, rank, 1:-1].tolist()), score)
        # The living ones in their order: those that end sort behind.
        order = ends.long().argsort(dim=1, stable=True)[:, :beam]
        alive = ~ends.gather(1, order)
        scores = values.gather(1, order).masked_fill(~alive, -torch.inf)
        tokens = longer.gather(1, order[..., None].expand(-1, -1, length + 1))
        # A log probability only falls: no longer sentence of the beam can reach more than this.
        reach = scores.max(dim=1).values / _penalty(limit, penalty)
        known = torch.tensor([best[clip].score for clip in active.tolist()], device=device)
        going = reach > known
        if length == limit:
            for row in (known == -torch.inf).nonzero()[:, 0].tolist():
                kept = tuple(tokens[row, 0, 1:].tolist())
                score = float(scores[row, 0]) / _penalty(limit, penalty)
                best[int(active[row])] = Hypothesis(kept, score)
        rows_before = torch.arange(rows, device=device)[:, None] * width + origin.gather(1, order)
        parents = rows_before[going].flatten()
        active, tokens, scores = active[going], tokens[going], scores[going]
        if not len(active):
            break
    return best


@torch.no_grad()
def decode(
    model: SpeechModel, features: Tensor, lengths: Tensor, *, beam: int, limit: int, penalty: float
) -> list[Hypothesis]:
    """The best hypothesis of each clip of a batch; the model is in evaluation mode meanwhile."""
    before = model.training
    model.eval()
    spelling = IncrementalSpelling(model, model.hear(features, lengths))

    def following(clips: Tensor, tokens: Tensor, parents: Tensor) -> Tensor:
        normalised: Tensor = Categorical(logits=spelling(clips, tokens, parents)).logits
        return normalised

    found = beam_search(
        following, len(features), beam=beam, limit=limit, penalty=penalty, device=features.device
    )
    model.train(before)
    return found


def _penalty(length: int, power: float) -> float:
    return float(((5 + length) / 6) ** power)
