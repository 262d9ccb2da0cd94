"""The benchmark's jobs: every method learns the whole curriculum, once a seed.

A job leaves a file, so that a stopped benchmark goes on where it was. All methods of a seed see the
same tasks, clips and tokens, and features that were made once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from nearfar_kit.atomic import write_atomic
from nearfar_kit.jobs import do_jobs, read_records
from nearfar_kit.metrics import Record
from nearfar_speech.answers import records_of
from nearfar_speech.clip import ClipSet
from nearfar_speech.continual import learn_curriculum, new_learner
from nearfar_speech.encoders import Encoder
from nearfar_speech.features import Features
from nearfar_speech.methods import METHODS
from nearfar_speech.prepare import prepare
from nearfar_speech.settings import SpeechSettings

__all__ = ["Job", "jobs_of", "make_features", "run_jobs"]


@dataclass(frozen=True)
class Job:
    """One method on one seed."""

    method: str
    seed: int

    @property
    def file(self) -> str:
        return f"{self.method.replace(' ', '-').replace(',', '')}_{self.seed}.json"


def jobs_of(methods: Sequence[str], seeds: int) -> list[Job]:
    """All jobs, seed by seed."""
    return [Job(name, seed) for seed in range(seeds) for name in methods]


def make_features(file: Path, found: ClipSet, encoder: Encoder, *, quiet: bool = True) -> None:
    """Writes the features of all clips, where they are not there yet."""
    if file.exists():
        return
    features = Features(encoder, torch.inf)
    features.prepare([clip.path for clip in found.clips], quiet=quiet)
    features.save(file)


def run_jobs(
    jobs: Sequence[Job],
    found: ClipSet,
    features: Path,
    folder: Path,
    settings: SpeechSettings,
    *,
    test: str = "test",
    processes: int = 1,
    quiet: bool = True,
) -> list[Record]:
    """Does what is not done yet, and gives all records.

    Args:
        features: file of :func:`make_features`.
        folder: where jobs leave their files.
        test: the split that is answered; ``valid`` to choose settings by.
    """
    work = partial(
        _learn, found=found, features=features, folder=folder, settings=settings, test=test
    )
    do_jobs([(work, jobs)], folder, processes=processes, quiet=quiet)
    return read_records(jobs, folder)


_loaded: dict[Path, Features] = {}  # a worker's features, read once


def _learn(
    job: Job, *, found: ClipSet, features: Path, folder: Path, settings: SpeechSettings, test: str
) -> str:
    torch.set_num_threads(1)
    method = METHODS[job.method]
    own = method.apply(settings)
    prepared = prepare(found, own, job.seed)
    prepared = replace(prepared, curriculum=method.curriculum(prepared.curriculum))
    learner = new_learner(prepared, own, job.seed)
    if features not in _loaded:
        _loaded[features] = Features.load(features, learner.model.encoder)
    learner.features = _loaded[features]
    answers = learn_curriculum(learner, prepared, test=test)
    records = records_of(answers, found.name, job.method, job.seed)
    write_atomic(folder / job.file, json.dumps([asdict(record) for record in records]))
    return f"{job.method}, seed {job.seed}"
