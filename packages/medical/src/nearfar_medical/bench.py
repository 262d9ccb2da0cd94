"""The benchmark's jobs: every method pre-trained once a seed, then tuned on few labels, drawn anew.

A job leaves a file, so that a stopped benchmark goes on where it was. One pre-training serves all
draws of labels; a local strategy begins where its global one has ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nearfar_kit.atomic import write_atomic
from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.jobs import Job, do_jobs, read_records
from nearfar_kit.metrics import Record, split_key
from nearfar_medical.codes import codes_of
from nearfar_medical.finetune import Finetuning
from nearfar_medical.frames import Frame, load_frames
from nearfar_medical.methods import METHODS, Method
from nearfar_medical.nnunet import train_nnunet_like
from nearfar_medical.pretrain import GlobalStage, LocalStage, Stage
from nearfar_medical.restore import RestorationStage
from nearfar_medical.segment import dice_of, segment_frame
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.train import new_network

__all__ = ["Plan", "Pretrained", "Tuned", "plan_of", "run_plan"]


@dataclass(frozen=True)
class Pretrained:
    """A pre-training: the name of its strategy, and of the one whose weights it begins with."""

    kind: str  # "GD", "GD+LR", "restoration"
    after: str | None = None

    @property
    def file(self) -> str:
        return f"{self.kind}.safetensors"


@dataclass(frozen=True)
class Tuned:
    """One method on one draw of labelled volumes."""

    method: str
    labelled: int
    draw: int

    @property
    def file(self) -> str:
        words = (self.method, str(self.labelled), str(self.draw))
        return "_".join(w.replace(" ", "-").replace("^", "") for w in words) + ".json"


@dataclass(frozen=True)
class Plan:
    """Pre-trainings in two rounds, as the second's begin with the first's weights, and tunings."""

    first: tuple[Pretrained, ...]
    second: tuple[Pretrained, ...]
    tuned: tuple[Tuned, ...]


def plan_of(methods: Sequence[str], labelled: Sequence[int], draws: int) -> Plan:
    """All jobs. ``all labels`` is tuned once a draw, whatever the number of labelled volumes."""
    first: dict[str, Pretrained] = {}
    second: dict[str, Pretrained] = {}
    for name in methods:
        kind = _kind(METHODS[name])
        if kind is None:
            continue
        after = kind.split("+")[0]
        first[after] = Pretrained(after)
        if after != kind:
            second[kind] = Pretrained(kind, after)
    tuned = [
        Tuned(name, number, draw)
        for number in labelled
        for draw in range(draws)
        for name in methods
        if not METHODS[name].everything
    ]
    tuned += [Tuned(m, 0, draw) for m in methods if METHODS[m].everything for draw in range(draws)]
    return Plan(tuple(first.values()), tuple(second.values()), tuple(tuned))


def _kind(method: Method) -> str | None:
    if method.pretraining == "none":
        return None
    if method.pretraining == "restoration":
        return "restoration"
    local = method.settings["local_strategy"]
    return f"{method.settings['global_strategy']}" + ("" if local == "none" else f"+{local}")


def run_plan(
    plan: Plan,
    frames: Path,
    folder: Path,
    settings: MedicalSettings,
    split: dict[str, list[str]],
    dataset: str,
    classes: dict[int, str],
    *,
    processes: int,
    quiet: bool,
) -> list[Record]:
    """Does what is not done yet, and gives all records.

    Args:
        frames: file of prepared volumes.
        folder: where jobs leave their files.
        split: names of the volumes of ``pretraining``, of the labelled ``pool`` that labels are
            drawn from, of ``validation`` and of ``test``.
    """
    shared: dict[str, Any] = {
        "frames": frames, "folder": folder, "settings": settings, "split": split,
        "classes": classes,
    }  # fmt: skip
    rounds: list[tuple[Callable[[Any], str], Sequence[Job]]] = [
        (partial(_pretrain, **shared), plan.first),
        (partial(_pretrain, **shared), plan.second),
        (partial(_tune, dataset=dataset, **shared), plan.tuned),
    ]
    do_jobs(rounds, folder, processes=processes, quiet=quiet)
    return read_records(plan.tuned, folder)


_loaded: dict[Path, dict[str, Frame]] = {}  # a worker's frames, read once


def _frames(file: Path, names: Sequence[str]) -> list[Frame]:
    torch.set_num_threads(1)
    if file not in _loaded:
        _loaded[file] = {frame.name: frame for frame in load_frames(file)}
    return [_loaded[file][name] for name in names]


def _pretrain(
    job: Pretrained,
    *,
    frames: Path,
    folder: Path,
    settings: MedicalSettings,
    split: dict[str, list[str]],
    classes: dict[int, str],
) -> str:
    pool = _frames(frames, split["pretraining"])
    own = settings
    if job.kind != "restoration":
        strategy, _, local = job.kind.partition("+")
        own = settings.model_copy(
            update={"global_strategy": strategy, "local_strategy": local or "none"}
        )
    network = new_network(own, pool[0].image.shape[0], len(classes), seed=0)
    torch.manual_seed(1)
    task: GlobalStage | LocalStage | RestorationStage
    if job.kind == "restoration":
        task, steps = RestorationStage(network, own), own.global_steps + own.local_steps
    elif job.after is None:
        task, steps = GlobalStage(network, own), own.global_steps
    else:
        network.load_state_dict(load_checkpoint(folder / f"{job.after}.safetensors"))
        task, steps = LocalStage(network, own), own.local_steps
    Stage(task, pool, steps=steps, seed=0).run()
    save_checkpoint(folder / job.file, dict(network.state_dict()))
    return f"pre-training {job.kind}"


def _tune(
    job: Tuned,
    *,
    frames: Path,
    folder: Path,
    settings: MedicalSettings,
    split: dict[str, list[str]],
    classes: dict[int, str],
    dataset: str,
) -> str:
    method = METHODS[job.method]
    own = MedicalSettings(**settings.model_dump() | method.settings)
    names = split["pool"]
    if not method.everything:
        # The same volumes for every method, and those of 1 label among those of 2.
        order = np.random.default_rng(job.draw).permutation(len(names))
        names = [names[n] for n in order[: job.labelled]]
    training = _frames(frames, names)
    validation, test = _frames(frames, split["validation"]), _frames(frames, split["test"])
    channels = training[0].image.shape[0]
    seed = 100 + job.draw
    if method.recipe == "nnunet":
        network: nn.Module = train_nnunet_like(
            training, validation, channels, len(classes), own, seed=seed
        )
    else:
        if method.everything:  # more labels take longer to learn from
            own = own.model_copy(update={"tuned_steps": 3 * own.tuned_steps})
        ours = network = new_network(own, channels, len(classes), seed)
        if (kind := _kind(method)) is not None:
            ours.take(load_checkpoint(folder / f"{kind}.safetensors"), _trained_depth(method, own))
        tuning = Finetuning(ours, training, validation, own, seed=seed, pretrained=kind is not None)
        tuning.run()
    records = []
    scores = np.array([dice_of(segment_frame(network, f, own), f.mask, len(classes)) for f in test])
    with np.errstate(invalid="ignore"):
        of_class = np.nanmean(scores, 0)
    structures = [classes[code] for code in codes_of(classes)[1:]]
    for name, value in [
        ("mean", np.nanmean(scores, 1).mean()), *zip(structures, of_class, strict=True)
    ]:  # fmt: skip
        records.append(
            Record(
                dataset=dataset,
                split=split_key(labelled=job.labelled or len(split["pool"]), structure=name),
                method=job.method,
                seed=job.draw,
                metric="dice",
                value=float(value),
                n=len(test),
            )
        )
    write_atomic(folder / job.file, json.dumps([asdict(record) for record in records]))
    return f"{job.method}, {job.labelled or 'all'} labelled, draw {job.draw}"


def _trained_depth(method: Method, settings: MedicalSettings) -> int:
    """The blocks of the decoder that pre-training has seen; the rest begins at random."""
    if method.pretraining == "restoration":
        return len(settings.widths) - 2
    return 0 if method.settings["local_strategy"] == "none" else settings.local_depth
