"""Training: pre-train on all volumes of the training side, then learn from the labelled ones.

Both halves keep what is done: a run that was stopped, or killed, goes on to the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.progress import Progress
from nearfar_kit.run import RunFolder
from nearfar_kit.stopping import stops_between_steps
from nearfar_medical.finetune import Finetuning
from nearfar_medical.frames import Frame
from nearfar_medical.network import Network
from nearfar_medical.pretrain import Stage, pretraining_stages
from nearfar_medical.settings import MedicalSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["finetune", "new_network", "pretrain"]

SAVE_EVERY = 20.0  # seconds between checkpoints


class Work(Protocol):
    """Something done in steps, whose whole state can be kept."""

    done: int

    def step(self) -> float: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


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
    for number, task in enumerate(pretraining_stages(network, settings)):
        steps = settings.global_steps if task.name == "global" else settings.local_steps
        stage = Stage(task, frames, steps=steps, seed=seed + number, fabric=fabric)
        # All weights travel in the state: the second stage holds the first one's encoder.
        _work(stage, steps, f"{task.name} contrast", [f.name for f in frames], run, quiet)
    return 0 if settings.local_strategy == "none" else settings.local_depth


def finetune(
    network: Network,
    training: Sequence[Frame],
    validation: Sequence[Frame],
    settings: MedicalSettings,
    seed: int,
    *,
    run: RunFolder | None = None,
    quiet: bool = True,
) -> Finetuning:
    """Learns from labelled frames; the network ends with the best weights on validation."""
    tuning = Finetuning(network, training, validation, settings, seed=seed)
    names = [f.name for f in (*training, *validation)]
    _work(tuning, settings.tuned_steps, "fine-tuning", names, run, quiet)
    tuning.finish()
    return tuning


def _work(
    work: Work, steps: int, title: str, names: list[str], run: RunFolder | None, quiet: bool
) -> None:
    """All steps, with a checkpoint now and then, from the one that an earlier run has left."""
    file: Path | None = None
    if run is not None:
        file = run.checkpoint / f"{title.replace(' ', '-')}.safetensors"
    if file is not None and file.exists():
        kept = load_checkpoint(file)
        if kept["volumes"] != names:
            raise UserError(
                f"--resume: {title} began with {len(kept['volumes'])} volumes, these are "
                f"{len(names)} or others; expected the same data and settings"
            )
        work.load_state(kept["state"])

    def save() -> None:
        if run is not None and file is not None and run.writes:
            save_checkpoint(file, {"volumes": names, "state": work.state()})
            run.log(title, step=work.done)

    saved = time.monotonic()
    show: Callable[[], dict[str, float]] = getattr(work, "shown", dict)
    with (
        stops_between_steps() as stop,
        Progress(title, steps, done=work.done, quiet=quiet) as bar,
    ):
        while work.done < steps and not stop.asked:
            bar.advance(loss=work.step(), **show())
            if time.monotonic() - saved > SAVE_EVERY:
                save()
                saved = time.monotonic()
        save()
