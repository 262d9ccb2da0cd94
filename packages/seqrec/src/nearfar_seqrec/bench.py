"""The benchmark: every method on the same split, by the same loop, budget and loss, several seeds.

A method's dropout and the weights of its contrast are chosen among as many values for each method,
by the validation part and the first seed. One job is one method with one seed and one choice; jobs
run in as many processes as asked and each leaves a file, so that a stopped benchmark goes on where
it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nearfar_kit.atomic import write_atomic
from nearfar_kit.jobs import do_jobs, read_jobs, records_from
from nearfar_kit.launch import Device, launch
from nearfar_kit.metrics import Record
from nearfar_kit.settings import load_settings
from nearfar_seqrec.baselines import ItemKNN, Popular
from nearfar_seqrec.data import split_from
from nearfar_seqrec.evaluate import evaluate, records_of
from nearfar_seqrec.scoring import Scorer
from nearfar_seqrec.settings import SeqrecSettings
from nearfar_seqrec.split import Split
from nearfar_seqrec.train import CHOSEN_BY, Training

__all__ = ["METHODS", "UNTRAINED", "compare"]

UNTRAINED: dict[str, Callable[[Split], Scorer]] = {"popular": Popular, "item-kNN": ItemKNN}
DROPOUTS: tuple[dict[str, Any], ...] = tuple(
    {"dropout": dropout} for dropout in (0.5, 0.3, 0.1, 0.2, 0.4, 0.6)
)
# As many for a method that has a weight: each at much dropout and at little.
VIEWS: tuple[dict[str, Any], ...] = tuple(
    {"view_weight": weight, "dropout": dropout}
    for dropout in (0.5, 0.2)
    for weight in (0.03, 0.1, 0.01)
)
META: tuple[dict[str, Any], ...] = tuple(  # of the paper's scripts two, of its grid one
    {"view_weight": view, "meta_weight": meta, "dropout": dropout}
    for dropout in (0.5, 0.2)
    for view, meta in ((0.0, 0.05), (0.1, 0.02), (0.0, 0.01))
)


@dataclass(frozen=True)
class Method:
    """How a method departs from the settings it is run with.

    Attributes:
        choices: what is tried on the validation part.
        like: the method whose choice it takes over: an ablation is that method without a part.
    """

    settings: dict[str, Any]
    choices: tuple[dict[str, Any], ...] = ()
    like: str | None = None


def ablation(**settings: Any) -> Method:
    return Method({"method": "mclrec"} | settings, like="MCLRec")


METHODS: dict[str, Method] = {
    "popular": Method({}),
    "item-kNN": Method({}),
    "GRU4Rec": Method({"method": "gru4rec"}, DROPOUTS),
    "SASRec": Method({"method": "sasrec"}, DROPOUTS),
    "CL4SRec": Method({"method": "cl4srec"}, VIEWS),
    "DuoRec": Method({"method": "duorec"}, VIEWS),
    "MCLRec": Method({"method": "mclrec"}, META),
    "MCLRec, no regulariser": ablation(margin_weight=0.0),
    "MCLRec, one step for all": ablation(meta="joint"),
    "MCLRec, one encoder step": ablation(meta="alternate"),
    "MCLRec, augmented pair alone": ablation(pairs="augmented"),
    "MCLRec, no learnt augmenters": ablation(meta_weight=0.0, view_weight=0.1),
    # What MCLRec's second step of the encoder does by itself.
    "SASRec, two steps a batch": Method(
        {"method": "mclrec", "meta_weight": 0.0, "view_weight": 0.0}, like="SASRec"
    ),
}


@dataclass(frozen=True)
class Job:
    """One method, one seed, one choice of its weights."""

    dataset: str
    method: str
    seed: int
    choice: int

    @property
    def file(self) -> str:
        words = (self.dataset, self.method, str(self.seed), str(self.choice))
        return "_".join(w.replace(" ", "-").replace(",", "") for w in words) + ".json"


def compare(
    dataset: str,
    path: Path,
    parts: Path,
    settings: SeqrecSettings,
    methods: Sequence[str],
    seeds: int,
    *,
    processes: int = 1,
    device: Device = "cpu",
    quiet: bool = True,
) -> list[Record]:
    """All methods' records on one data set. What lies in ``parts`` is not done again.

    Args:
        parts: folder of finished jobs.
    """
    work = partial(run_job, path=path, parts=parts, settings=settings, device=device)

    def done(jobs: Sequence[Job], title: str) -> dict[Job, tuple[float, list[Record]]]:
        jobs = list(dict.fromkeys(jobs))
        do_jobs(
            [(work, jobs)], parts, processes=processes, title=title, quiet=quiet,
            label=lambda job: f"{job.method}, seed {job.seed}",
        )  # fmt: skip
        return dict(zip(jobs, read_jobs(jobs, parts, _left), strict=True))

    tuned = {METHODS[name].like or name for name in methods}
    tries = [Job(dataset, name, 0, n) for name in tuned for n in range(len(METHODS[name].choices))]
    chosen: dict[str, int] = {}
    values: dict[str, float] = {}
    for job, (valid, _) in done(
        sorted(tries, key=lambda j: (j.method, j.choice)), "tuning"
    ).items():
        if valid > values.get(job.method, -1.0):
            chosen[job.method], values[job.method] = job.choice, valid
    jobs = [
        Job(dataset, name, seed, chosen.get(METHODS[name].like or name, 0))
        for seed in range(seeds)
        for name in methods
        if seed == 0 or name not in UNTRAINED
    ]
    records: list[Record] = []
    for _, own in done(jobs, f"benchmark ({dataset})").values():
        records += own
    return records


def _left(content: dict[str, Any]) -> tuple[float, list[Record]]:
    """What a job found: on the validation part, and of the test part."""
    return float(content["valid"]), records_from(content["records"])


def settings_of_job(job: Job, settings: SeqrecSettings) -> SeqrecSettings:
    """The settings a job is run with."""
    method = METHODS[job.method]
    choices = method.choices or (METHODS[method.like].choices if method.like else ())
    choice = choices[job.choice] if choices else {}
    values = settings.model_dump() | choice | method.settings
    return load_settings(SeqrecSettings, base=values)


def run_job(
    job: Job, *, path: Path, parts: Path, settings: SeqrecSettings, device: Device = "cpu"
) -> Job:
    """Does one job and writes what it found into ``parts``."""
    own = settings_of_job(job, settings)
    split = split_from(path, own)
    began = time.process_time()
    if job.method in UNTRAINED:
        scorer, valid, epochs = UNTRAINED[job.method](split), 0.0, 0
    else:
        training = Training(split, own, job.seed, launch(device))
        while not training.over:
            training.step()
        valid, epochs = max(found[CHOSEN_BY] for found in training.history), training.epoch
        scorer = training.scorer()
    seconds = time.process_time() - began
    found = evaluate(scorer, split, split.test, longest=own.longest, mask_seen=own.mask_seen)
    found |= {f"valid {CHOSEN_BY}": valid, "epochs": epochs, "cpu seconds": seconds}
    records = records_of(
        found, dataset=job.dataset, split="test", method=job.method, seed=job.seed,
        n=len(split.test),
    )  # fmt: skip
    content = {
        "valid": valid,
        "choice": settings_of_job(job, settings).model_dump(mode="json"),
        "records": [asdict(record) for record in records],
    }
    write_atomic(parts / job.file, json.dumps(content))
    return job
