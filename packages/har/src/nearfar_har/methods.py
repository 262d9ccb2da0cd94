"""Methods by name: from unlabelled windows to an encoder, from labels to a prediction.

The benchmark, the demo and ``train`` all go through here, so they compare and ship the same thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nearfar_har.encoder import Encoder, make_encoder
from nearfar_har.finetune import Classifier, finetune, probe_classifier
from nearfar_har.pretext import PRETEXTS, ColloSSL, CrossDevice, Pretext, SimCLR
from nearfar_har.pretrain import Pretraining
from nearfar_har.scale import Scale
from nearfar_har.settings import HarSettings
from nearfar_har.windows import Windows

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["make_task", "new_pretraining", "read_out", "supervised"]


def make_task(settings: HarSettings, samples: int, seed: int) -> Pretext:
    """The pretext task of the settings around a new encoder, its weights drawn from ``seed``."""
    options: dict[str, Any] = {}
    kind = PRETEXTS[settings.pretext]
    if kind in (ColloSSL, CrossDevice, SimCLR):
        options = {"temperature": settings.temperature, "projection": settings.projection}
    if kind is ColloSSL:
        names = ("policy", "negatives", "permutations", "weighted", "rotation")
        options |= {name: getattr(settings, name) for name in names}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(make_encoder(settings.encoder, samples), **options)


def new_pretraining(
    settings: HarSettings,
    windows: Windows,
    scale: Scale,
    seed: int,
    fabric: Fabric | None = None,
) -> Pretraining:
    """The pre-training of the settings, before its first step."""
    return Pretraining(
        make_task(settings, windows.samples, seed),
        scale.apply(windows.signals),
        torch.from_numpy(windows.present),
        windows.subject,
        steps=settings.steps,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=seed,
        fabric=fabric,
    )


def read_out(
    settings: HarSettings,
    encoder: Encoder,
    signals: Tensor,
    activity: np.ndarray,
    activities: int,
    seed: int,
) -> Classifier:
    """One device's classifier on a pre-trained encoder: linear, or its last stages trained on."""
    if settings.readout == "probe":
        return probe_classifier(encoder, signals, activity, activities, settings.probe_strength)
    return _fit(settings, encoder, signals, activity, activities, settings.tuned_stages, seed)


def supervised(
    settings: HarSettings, signals: Tensor, activity: np.ndarray, activities: int, seed: int
) -> Classifier:
    """One device's classifier from labels alone: the same network, all of it trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = make_encoder(settings.encoder, signals.shape[-1])
    return _fit(settings, encoder, signals, activity, activities, None, seed)


def _fit(
    settings: HarSettings,
    encoder: Encoder,
    signals: Tensor,
    activity: np.ndarray,
    activities: int,
    stages: int | None,
    seed: int,
) -> Classifier:
    return finetune(
        encoder,
        signals,
        torch.from_numpy(activity),
        activities,
        stages=stages,
        steps=settings.tuned_steps,
        batch=settings.tuned_batch,
        learning_rate=settings.tuned_learning_rate,
        rotation=settings.tuned_rotation,
        seed=seed,
    )
