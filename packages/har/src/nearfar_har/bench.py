"""The benchmark: every method, leave-one-subject-out, several seeds, several shares of labels.

One job is one method on one fold with one seed; jobs run in as many processes as there are cores
and each leaves a file, so that a stopped benchmark goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from nearfar_har.features import window_statistics
from nearfar_har.finetune import predict
from nearfar_har.methods import make_task, new_pretraining, read_out, supervised
from nearfar_har.metrics import macro_f1
from nearfar_har.probe import embed, linear_probe, random_forest
from nearfar_har.scale import Scale
from nearfar_har.settings import HarSettings
from nearfar_har.windows import Windows, labelled_subset, load_npz
from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.jobs import do_jobs, read_records
from nearfar_kit.metrics import Record, split_key
from nearfar_kit.seeds import seed_everything

__all__ = ["ABLATIONS", "METHODS", "Job", "make_jobs", "run_jobs"]

# How a method departs from the settings it is run with.
METHODS: dict[str, dict[str, object]] = {
    "random forest": {},
    "supervised": {"tuned_rotation": 0.0},
    "supervised, rotated": {},
    "colossl": {"pretext": "colossl"},
    "colossl as published": {
        "pretext": "colossl",
        "policy": "closest",
        "negatives": "permuted",
        "projection": 0,
        "rotation": 0.0,
        "temperature": 0.05,
    },
    "colossl, permuted negatives": {"pretext": "colossl", "negatives": "permuted"},
    "colossl, no rotation": {"pretext": "colossl", "rotation": 0.0},
    "cross-device InfoNCE": {"pretext": "cross_device"},
    "simclr": {"pretext": "simclr"},
    "multitask": {"pretext": "multitask"},
    "autoencoder": {"pretext": "autoencoder"},
    "cpc": {"pretext": "cpc"},
    "random encoder": {"pretext": "none"},
}
# What of ColloSSL makes the difference.
ABLATIONS = ("colossl, permuted negatives", "colossl, no rotation")
# Fine-tuning costs many times a linear probe, so it is tried on the method and its nearest rival.
TUNED = ("colossl", "simclr")


@dataclass(frozen=True)
class Job:
    """One method, one held-out group of subjects, one seed."""

    dataset: str
    method: str
    fold: str  # the held-out subjects, joined by "+"
    seed: int

    @property
    def file(self) -> str:
        words = (self.dataset, self.method, self.fold, str(self.seed))
        return "_".join(w.replace(" ", "-").replace(",", "") for w in words) + ".json"


def make_jobs(
    dataset: str, windows: Windows, methods: Sequence[str], seeds: int, folds: int
) -> list[Job]:
    """All jobs of a data set: each subject held out once, alone or in ``folds`` groups.

    Raises:
        UserError: there is only one subject, or a method is unknown.
    """
    for method in methods:
        if method not in METHODS:
            raise UserError(f"no method {method!r}; expected some of {', '.join(METHODS)}")
    if len(windows.subjects) < 2:
        raise UserError(f"{dataset}: one subject only; leave-one-subject-out needs two or more")
    groups = np.array_split(np.array(windows.subjects), min(folds, len(windows.subjects)))
    return [
        Job(dataset, method, "+".join(group), seed)
        for seed in range(seeds)
        for group in groups
        for method in methods
    ]


def run_jobs(
    jobs: Sequence[Job],
    files: dict[str, Path],
    parts: Path,
    settings: HarSettings,
    shares: Sequence[float],
    *,
    processes: int,
    quiet: bool,
) -> list[Record]:
    """All jobs' records. What lies in ``parts`` is not done again.

    Args:
        files: the windows of each data set, as :func:`nearfar_har.windows.save_npz` wrote them.
        parts: folder of finished jobs.
    """
    work = partial(run_job, files=files, parts=parts, settings=settings, shares=tuple(shares))
    do_jobs(
        [(work, jobs)], parts, processes=processes, quiet=quiet,
        label=lambda job: f"{job.method} on {job.fold}, seed {job.seed}",
    )  # fmt: skip
    return read_records(jobs, parts)


_loaded: dict[Path, Windows] = {}  # a worker's windows, read once


def run_job(
    job: Job,
    *,
    files: dict[str, Path],
    parts: Path,
    settings: HarSettings,
    shares: tuple[float, ...],
) -> Job:
    """Does one job and writes its records into ``parts``."""
    seed_everything(job.seed)
    file = files[job.dataset]
    if file not in _loaded:
        _loaded[file] = load_npz(file)
    windows = _loaded[file]
    rest, held_out = windows.split_by_subject(job.fold.split("+"))
    own = HarSettings(**settings.model_dump() | METHODS[job.method])
    records = list(_records(job, rest, held_out, own, shares))
    content = json.dumps([asdict(record) for record in records])
    write_atomic(parts / job.file, content)
    return job


def _records(
    job: Job, rest: Windows, held_out: Windows, settings: HarSettings, shares: tuple[float, ...]
) -> Iterator[Record]:
    predictors = _predictors(job, rest, held_out, settings)
    for share in shares:
        rows = labelled_subset(rest, share, job.seed)
        for device, name in enumerate(rest.devices):
            here = rows[rest.present[rows, device]]
            there = np.flatnonzero(held_out.present[:, device] & (held_out.activity >= 0))
            if not len(there):
                continue
            truth = held_out.activity[there]
            for readout, predicted in predictors(device, here, there):
                yield Record(
                    dataset=job.dataset,
                    split=split_key(device=name, labels=share, fold=job.fold, readout=readout),
                    method=job.method,
                    seed=job.seed,
                    metric="macro_f1",
                    value=macro_f1(truth, predicted),
                    n=len(there),
                )


Predictors = Callable[[int, np.ndarray, np.ndarray], Iterator[tuple[str, np.ndarray]]]


def _predictors(job: Job, rest: Windows, held_out: Windows, settings: HarSettings) -> Predictors:
    """A function (device, labelled rows of rest, rows of held_out) -> (readout, predictions)."""
    activities = len(rest.activities)
    activity = rest.activity

    if job.method == "random forest":
        train = [window_statistics(rest.signals[:, d]) for d in range(len(rest.devices))]
        test = [window_statistics(held_out.signals[:, d]) for d in range(len(rest.devices))]

        def forest(d: int, here: np.ndarray, there: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
            model = random_forest(train[d][here], activity[here], job.seed)
            yield "forest", model.predict(test[d][there])

        return forest

    scale = Scale.of(rest)
    x, x_test = scale.apply(rest.signals), scale.apply(held_out.signals)

    if job.method.startswith("supervised"):

        def scratch(
            d: int, here: np.ndarray, there: np.ndarray
        ) -> Iterator[tuple[str, np.ndarray]]:
            model = supervised(settings, x[here, d], activity[here], activities, job.seed)
            yield "tuned", predict(model, x_test[there, d]).argmax(1)

        return scratch

    if settings.pretext == "none":
        plain = HarSettings(**settings.model_dump() | {"pretext": "autoencoder"})
        encoder = make_task(plain, rest.samples, job.seed).encoder
    else:
        pretraining = new_pretraining(settings, rest, scale, job.seed)
        pretraining.run()
        encoder = pretraining.encoder
    train = [embed(encoder, x[:, d]) for d in range(len(rest.devices))]
    test = [embed(encoder, x_test[:, d]) for d in range(len(rest.devices))]

    def readouts(d: int, here: np.ndarray, there: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        probe = linear_probe(train[d][here], activity[here], settings.probe_strength)
        yield "probe", probe.predict(test[d][there])
        if job.method in TUNED:
            own = HarSettings(**settings.model_dump() | {"readout": "tuned"})
            model = read_out(own, encoder, x[here, d], activity[here], activities, job.seed)
            yield "tuned", predict(model, x_test[there, d]).argmax(1)

    return readouts
