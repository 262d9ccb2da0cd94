"""Transformation prediction: which of eight changes was made to a window?

Saeed, Ozcelebi, Lukkien 2019, multi-task self-supervised learning for human activity detection
(arXiv 1907.11879): one binary task a transformation, all on one encoder.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from nearfar_har.augment import jitter, magnitude, permute_segments, rotate, time_warp
from nearfar_har.encoder import Encoder
from nearfar_har.pretext.task import Pretext, present_windows

__all__ = ["TRANSFORMATIONS", "MultiTask"]

TRANSFORMATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "noise": lambda x, g: jitter(x, 0.1, g),
    "scale": lambda x, g: magnitude(x, 0.4, g),
    "rotate": lambda x, g: rotate(x, 1.0, g),
    "negate": lambda x, g: -x,
    "flip": lambda x, g: x.flip(-1),
    "permute": lambda x, g: permute_segments(x, 4, g),
    "warp": lambda x, g: time_warp(x, 0.8, g),
    "shuffle": lambda x, g: x[:, torch.randperm(x.shape[1], generator=g)],
}


class MultiTask(Pretext):
    def __init__(self, encoder: Encoder, *, hidden: int = 64) -> None:
        super().__init__(encoder)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(encoder.features, hidden), nn.ReLU(), nn.Linear(hidden, 1))
            for _ in TRANSFORMATIONS
        )

    def forward(self, signals: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        x = present_windows(signals, present)
        # Each window is changed in one way or left alone, so a step costs one pass as elsewhere;
        # each task is asked about its own windows and as many unchanged ones.
        kinds = torch.randint(2 * len(TRANSFORMATIONS), (len(x),), generator=generator).to(x.device)
        x = x.clone()
        for kind, change in enumerate(TRANSFORMATIONS.values()):
            own = kinds == kind
            if own.any():
                x[own] = change(x[own], generator)
        h = self.encoder(x)
        losses = []
        for kind, head in enumerate(self.heads):
            asked = (kinds == kind) | (kinds == kind + len(TRANSFORMATIONS))
            if asked.any():
                logits = head(h[asked]).squeeze(1)
                losses.append(
                    binary_cross_entropy_with_logits(logits, (kinds[asked] == kind).float())
                )
        return torch.stack(losses).mean()
