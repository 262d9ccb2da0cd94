"""Classifiers on an encoder: the encoder frozen, its last stages fine-tuned, or all of it trained.

With every stage trained from random weights this is the fully supervised baseline.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nearfar_har.augment import rotate
from nearfar_har.encoder import Encoder
from nearfar_har.probe import embed, linear_probe

__all__ = ["Classifier", "finetune", "predict", "probe_classifier", "tuned_head"]


class Classifier(nn.Module):
    """Encoder and head: [n, 6, W] -> logits [n, activities]."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(x))
        return logits


def tuned_head(features: int, activities: int, hidden: int = 128) -> nn.Module:
    # The norm brings pooled means, maxima and spreads on one scale whatever the encoder is.
    return nn.Sequential(
        nn.BatchNorm1d(features),
        nn.Linear(features, hidden),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(hidden, activities),
    )


def probe_classifier(
    encoder: Encoder, signals: Tensor, activity: np.ndarray, activities: int, strength: float
) -> Classifier:
    """The linear probe of scaled windows [n, 6, W] with labels [n], as one linear layer."""
    scaler, regression = linear_probe(embed(encoder, signals), activity, strength)
    weight, bias = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:  # scikit-learn keeps the second class's score alone
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    # Standardisation is linear too: fold it in.
    weight = weight / scaler.scale_
    bias = bias - weight @ scaler.mean_
    head = nn.Linear(encoder.features, activities)
    classes = torch.from_numpy(regression.classes_)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-1e4)  # activities that no label taught are never told
        head.weight[classes] = torch.from_numpy(weight).to(head.weight)
        head.bias[classes] = torch.from_numpy(bias).to(head.bias)
    return Classifier(copy.deepcopy(encoder), head).eval()


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
    rotation: float,
    seed: int,
) -> Classifier:
    """A classifier of scaled windows [n, 6, W] with labels [n]; ``encoder`` itself is left alone.

    Args:
        stages: how many of the last stages are trained; None: all of them.
        steps: at a small n fewer suffice; no window is seen more than 100 times.
        rotation: spread in radians of a random turn of each window, where all stages are trained.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = tuned_head(encoder.features, activities)
        model = Classifier(copy.deepcopy(encoder), head)
        trained = len(encoder.stages) if stages is None else stages
        return _train(
            model, signals, activity, trained, steps, batch, learning_rate, rotation, generator
        )


def _train(
    model: Classifier,
    signals: Tensor,
    activity: Tensor,
    trained: int,
    steps: int,
    batch: int,
    learning_rate: float,
    rotation: float,
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
        [*moving, *model.head.parameters()], lr=learning_rate, weight_decay=1e-4, fused=True
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
        part = x[rows]
        if rotation > 0 and trained == depth:
            part = rotate(part, rotation, generator)
        logits = model.head(encoder.pool(encoder.feature_map(part, depth - trained)))
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
