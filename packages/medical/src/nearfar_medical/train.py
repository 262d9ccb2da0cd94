"""Training: pre-train on all volumes of the training side, then learn from the labelled ones.

Both halves keep what is done: a run that was stopped, or killed, goes on to the same numbers.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nearfar_kit.run import RunFolder
from nearfar_kit.work import carry_out
from nearfar_medical.finetune import Finetuning
from nearfar_medical.frames import Frame
from nearfar_medical.network import Network
from nearfar_medical.pretrain import Stage, pretraining_stages
from nearfar_medical.seen import Seen
from nearfar_medical.segment import segment_frame
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.split import Split

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Lesson", "estimate", "learn", "new_network", "pretrain", "seen_in"]


@dataclass(frozen=True)
class Lesson:
    """What is learned from.

    Attributes:
        pool: frames of pre-training, the labelled ones among them.
        training: labelled frames.
        validation: labelled frames that choose the best weights.
    """

    pool: tuple[Frame, ...]
    training: tuple[Frame, ...]
    validation: tuple[Frame, ...]

    @classmethod
    def of(cls, split: Split, frames: Sequence[Frame]) -> Lesson:
        """A split's cases, by their frames' names."""
        by_name = {frame.name: frame for frame in frames}
        parts = (split.pretraining, split.training_labelled, split.validation)
        return cls(*(tuple(by_name[case.name] for case in part) for part in parts))


def seen_in(split: Split, settings: MedicalSettings, *, contrast: bool = True) -> Seen:
    """The names of what :func:`learn` looks at; without pre-training, of labelled ones alone."""
    images = split.pretraining if contrast and settings.pretrains else ()
    return Seen.of(split.training_labelled, split.validation, images)


def new_network(settings: MedicalSettings, channels: int, classes: int, seed: int) -> Network:
    """A network whose weights are drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(settings.dims, channels, classes, widths=settings.widths, norm=settings.norm)


def pretrain(
    network: Network,
    frames: Sequence[Frame],
    settings: MedicalSettings,
    seed: int,
    *,
    run: RunFolder | None = None,
    fabric: Fabric | None = None,
    quiet: bool = True,
) -> int:
    """Global and then local contrast, as the settings say; trains the network in place.

    Returns:
        How many of the decoder's blocks have been trained.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)  # of the heads' weights
        stages = pretraining_stages(network, settings)
    for number, task in enumerate(stages):
        steps = settings.global_steps if task.name == "global" else settings.local_steps
        stage = Stage(task, frames, steps=steps, seed=seed + number, fabric=fabric)
        # All weights travel in the state: the second stage holds the first one's encoder.
        begun_with = {"seed": seed, "slices": [frame.name for frame in frames]}
        carry_out(stage, steps, f"{task.name} contrast", begun_with, run, quiet=quiet)
    return 0 if settings.local_strategy == "none" else settings.local_depth


def learn(
    network: Network,
    lesson: Lesson,
    settings: MedicalSettings,
    seed: int,
    *,
    contrast: bool = True,
    run: RunFolder | None = None,
    fabric: Fabric | None = None,
    quiet: bool = True,
) -> Finetuning | None:
    """Contrast, and then labels; the network ends with the best weights on validation.

    Args:
        contrast: False: the network comes with weights that were learned from other volumes.

    Returns:
        The fine-tuning; None on the processes that contrast alone needs.
    """
    if contrast:
        pretrain(network, lesson.pool, settings, seed, run=run, fabric=fabric, quiet=quiet)
    if fabric is not None and not fabric.is_global_zero:
        return None
    tuning = Finetuning(
        network, lesson.training, lesson.validation, settings, seed=seed,
        pretrained=not contrast or settings.global_strategy != "none",
    )  # fmt: skip
    names = [frame.name for frame in (*lesson.training, *lesson.validation)]
    carry_out(
        tuning, settings.tuned_steps, "fine-tuning", {"seed": seed, "slices": names}, run,
        shown=tuning.shown, quiet=quiet,
    )  # fmt: skip
    tuning.finish()
    return tuning


def estimate(
    network: Network, lesson: Lesson, settings: MedicalSettings, *, contrast: bool = True
) -> dict[str, float]:
    """Seconds that each part of a training will take, by a step of each on a copy.

    Args:
        lesson: without labelled frames there is no fine-tuning.
        contrast: whether there is pre-training.
    """
    parts = {}
    for task in pretraining_stages(copy.deepcopy(network), settings) if contrast else []:
        steps = settings.global_steps if task.name == "global" else settings.local_steps
        stage = Stage(task, lesson.pool, steps=2, seed=0)
        parts[f"{task.name} contrast"] = steps * _second_step(stage)
    if lesson.training:
        tuning = Finetuning(
            copy.deepcopy(network), lesson.training, lesson.validation, settings, seed=0
        )
        step = _second_step(tuning)
        began = time.perf_counter()
        segment_frame(tuning.network, lesson.validation[0], settings)
        checks = len(lesson.validation) * settings.tuned_steps / settings.validate_every
        parts["fine-tuning"] = step * settings.tuned_steps + checks * (time.perf_counter() - began)
    return parts


def _second_step(work: Stage | Finetuning) -> float:
    """The first one pays for what is made once."""
    work.step()
    began = time.perf_counter()
    work.step()
    return time.perf_counter() - began
