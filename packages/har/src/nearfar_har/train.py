"""Training: pre-train on all windows, then one classifier a device on the labelled share.

Both halves keep what is done: a run that was stopped, or killed, goes on to the same numbers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nearfar_har.encoder import Encoder, make_encoder
from nearfar_har.finetune import Classifier
from nearfar_har.methods import new_pretraining, read_out
from nearfar_har.model import HarModel
from nearfar_har.scale import Scale
from nearfar_har.settings import HarSettings
from nearfar_har.windows import Windows, labelled_subset
from nearfar_kit.digests import digest
from nearfar_kit.errors import UserError
from nearfar_kit.progress import Progress
from nearfar_kit.run import RunFolder
from nearfar_kit.work import carry_out

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["train"]


def train(
    windows: Windows,
    settings: HarSettings,
    seed: int,
    *,
    run: RunFolder | None = None,
    fabric: Fabric | None = None,
    quiet: bool = True,
) -> HarModel:
    """A model from windows, of which the labelled share trains the classifiers.

    Args:
        run: where checkpoints and the log go; a checkpoint found there is gone on with.

    Raises:
        UserError: no window is labelled, or all labels are one activity.
    """
    labels = np.unique(windows.activity[windows.activity >= 0])
    if len(labels) < 2:
        found = "no activity" if not len(labels) else f"only {windows.activities[labels[0]]!r}"
        raise UserError(f"labels: {found} found; expected windows of two activities or more")
    scale = Scale.of(windows)
    encoder = _pretrained(windows, settings, scale, seed, run, fabric, quiet)
    rows = labelled_subset(windows, settings.labels, seed)
    classifiers: dict[str, Classifier] = {}
    with Progress("classifiers", len(windows.devices), quiet=quiet) as bar:
        for device, name in enumerate(windows.devices):
            here = rows[windows.present[rows, device]]
            # A device that was never there while something was labelled cannot learn to tell.
            if len(np.unique(windows.activity[here])) > 1:
                signals = scale.apply(windows.signals[here, device])
                activity = windows.activity[here]
                classifiers[name] = read_out(
                    settings, encoder, signals, activity, len(windows.activities), seed
                )
            elif run is not None:
                run.log("device without labels", device=name)
            bar.advance(device=name)
    if not classifiers:
        raise UserError("labels: no device has labelled windows of two activities")
    model = HarModel(
        encoder_name=settings.encoder,
        readout=settings.readout,
        encoder=encoder,
        scale=scale,
        rate=windows.rate,
        samples=windows.samples,
        overlap=settings.overlap,
        activities=windows.activities,
        classifiers=classifiers,
        subjects=frozenset(digest(windows.subjects[s]) for s in np.unique(windows.subject)),
    )
    if run is not None:
        if run.writes:
            model.save(run.checkpoint / "model.safetensors")
        run.log("trained", devices=list(classifiers), labelled=len(rows))
    return model


def _pretrained(
    windows: Windows,
    settings: HarSettings,
    scale: Scale,
    seed: int,
    run: RunFolder | None,
    fabric: Fabric | None,
    quiet: bool,
) -> Encoder:
    title = f"pre-training ({settings.pretext})"
    begun_with = _begun_with(windows, scale, seed)
    if settings.pretext == "none":
        # No step, and yet kept: a folder does not mix the models of two trainings.
        carry_out(_NoSteps(), 0, title, begun_with, run, quiet=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make_encoder(settings.encoder, windows.samples)
    pretraining = new_pretraining(settings, windows, scale, seed, fabric)
    carry_out(pretraining, settings.steps, title, begun_with, run, quiet=quiet)
    return pretraining.encoder


class _NoSteps:
    """The work of a training that has no pre-training."""

    done = 0

    def step(self) -> float:
        raise NotImplementedError("there is no step")

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None: ...


def _begun_with(windows: Windows, scale: Scale, seed: int) -> dict[str, Any]:
    """What a training is of: a resumed one must not go on with an encoder that has seen the
    subjects held out now.

    The signals count by their scale in three digits alone: on another machine the same recordings,
    read anew, may differ in their last bits.
    """
    names = sorted(windows.subjects[s] for s in np.unique(windows.subject))
    content = hashlib.sha256()
    for part in (windows.time, windows.present, windows.activity, windows.subject):
        content.update(np.ascontiguousarray(part).tobytes())
    told = (windows.devices, windows.activities, f"{scale.acceleration:.3g} {scale.rate:.3g}")
    content.update(repr(told).encode())
    return {
        "seed": seed,
        "training subjects (all but --hold-out)": (
            f"{len(names)} whose names have the digest {digest(chr(10).join(names))}"
        ),
        "windows": list(windows.signals.shape),
        "data of the digest": content.hexdigest()[:16],
    }
