"""Fine-tuning: a classifier on an encoder, some or all of whose stages are trained with it.

With every stage trained from random weights this is the fully supervised baseline.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nearfar_har.encoder import Encoder

__all__ = ["Classifier", "finetune", "predict"]


class Classifier(nn.Module):
    """Encoder and head: [n, 6, W] -> logits [n, activities]."""

    def __init__(self, encoder: Encoder, activities: int, hidden: int = 128) -> None:
        super().__init__()
        self.encoder = encoder
        # The norm brings pooled means, maxima and spreads on one scale whatever the encoder is.
        self.head = nn.Sequential(
            nn.BatchNorm1d(encoder.features),
            nn.Linear(encoder.features, hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, activities),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


def finetune(
    encoder: Encoder,
    signals: Tensor,
    activity: Tensor,
    activities: int,
    *,
    stages: int | None,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
) -> Classifier:
    """A classifier of scaled windows [n, 6, W] with labels [n]; ``encoder`` itself is left alone.

    Args:
        stages: how many of the last stages are trained; None: all of them.
        steps: at a small n fewer suffice; no window is seen more than 100 times.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(copy.deepcopy(encoder), activities)
        trained = len(encoder.stages) if stages is None else stages
        return _train(model, signals, activity, trained, steps, batch, learning_rate, generator)


def _train(
    model: Classifier,
    signals: Tensor,
    activity: Tensor,
    trained: int,
    steps: int,
    batch: int,
    learning_rate: float,
    generator: torch.Generator,
) -> Classifier:
    encoder = model.encoder
    depth = len(encoder.stages)
    # What the frozen stages put out never changes: it is computed once.
    encoder.eval()
    with torch.no_grad():
        x = torch.cat([encoder.frozen_part(part, trained) for part in signals.split(4096)])
    moving = [p for stage in encoder.stages[depth - trained :] for p in stage.parameters()]
    optimizer = torch.optim.Adam(
        [*moving, *model.head.parameters()], lr=learning_rate, weight_decay=1e-4
    )
    batch = min(batch, len(x))
    steps = min(steps, math.ceil(100 * len(x) / batch))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for stage in encoder.stages[: depth - trained]:
        stage.eval()
    order = torch.randperm(len(x), generator=generator)
    at = 0
    for _ in range(steps):
        if at + batch > len(order):
            order, at = torch.randperm(len(x), generator=generator), 0
        rows = order[at : at + batch]
        at += batch
        logits = model.head(encoder.pool(encoder.feature_map(x[rows], depth - trained)))
        loss = cross_entropy(logits, activity[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.inference_mode()
def predict(model: Classifier, signals: Tensor, batch: int = 4096) -> np.ndarray:
    """Probabilities [n, activities] of scaled windows [n, 6, W]."""
    model.eval()
    return torch.cat([model(part).softmax(1) for part in signals.split(batch)]).numpy()
