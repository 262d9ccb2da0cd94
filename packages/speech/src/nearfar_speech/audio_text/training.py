"""A tower trained on a loss of its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from nearfar_speech.audio_text.speech_tower import SpeechTower

__all__ = ["shuffled_batches", "train_tower"]


def train_tower(
    tower: SpeechTower,
    features: Sequence[Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    batches: Iterator[Tensor],
    learning_rate: float,
    beside: Iterable[nn.Module] = (),
) -> None:
    """AdamW with a tenth of warm-up, then a cosine to 0.

    Args:
        features: of all clips.
        loss: of a batch's vectors [B, D] and which clips they are, [B].
        batches: numbers of clips.
        beside: other modules that the loss trains.
    """
    modules = nn.ModuleList([tower, *beside])
    weights = [p for p in modules.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=max(2, steps), pct_start=0.1, cycle_momentum=False
    )
    modules.train()
    for _, rows in zip(range(steps), batches, strict=False):
        value = loss(tower([features[i] for i in rows.tolist()]), rows)
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
    modules.eval()


def shuffled_batches(count: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Numbers below ``count``, each once a round, without end; a last smaller batch is left out."""
    chance = torch.Generator().manual_seed(seed)
    size = min(batch, count)
    while True:
        order = torch.randperm(count, generator=chance)
        yield from order[: count // size * size].reshape(-1, size)
