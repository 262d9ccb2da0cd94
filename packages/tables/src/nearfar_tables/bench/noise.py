"""Noise in three mixes put into tables whose truth is known, and the whole integration scored.

Of each thing three tables have a row; two of three rows are perturbed, by one or two operations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.atomic import write_atomic
from nearfar_kit.jobs import do_jobs, read_records
from nearfar_kit.metrics import Metrics, Record, split_key
from nearfar_kit.table import Cell, Table, summarise
from nearfar_tables.bench.part import Ask
from nearfar_tables.benchmarks import SETS, read_pairs
from nearfar_tables.canonical import canonical, kind_of
from nearfar_tables.cells import texts_of
from nearfar_tables.dirty_csv import read_csv
from nearfar_tables.febrl import read_febrl
from nearfar_tables.integration import Result, integrate
from nearfar_tables.measures import set_similarity
from nearfar_tables.noise import MIXES, inject
from nearfar_tables.settings import TablesSettings

__all__ = ["measure", "tables"]

COPIES = 3
SHARE = 2 / 3
MOST = 500  # things of a set, the first ones
METRICS = ("judgement F1", "set similarity", "conflict accuracy")
METHODS: dict[str, dict[str, object]] = {
    "nearfar": {},
    "no perturbations": {"epochs": 0},
    "ssacl, from 0.5 on": {"calibration": "fixed"},
}


def measure(ask: Ask, metrics: Metrics) -> bool:
    """Whether there was one of dialite, febrl and Fodors-Zagats."""
    jobs = []
    for name, (path, _) in CLEAN.items():
        if (ask.root / path).exists():
            for mix in MIXES:
                for method, change in METHODS.items():
                    learns = ask.settings.model_copy(update=change).epochs
                    seeds = ask.seeds if learns else 1
                    jobs += [_Job(name, mix, method, seed) for seed in range(seeds)]
    folder = ask.folder / "noise"
    work = partial(_score, root=ask.root, folder=folder, settings=ask.settings)
    do_jobs([(work, jobs)], folder, processes=ask.processes, title="noise", quiet=ask.quiet)
    metrics.add(read_records(jobs, folder))
    return bool(jobs)


@dataclass(frozen=True)
class _Job:
    dataset: str
    mix: str
    method: str
    seed: int

    @property
    def file(self) -> str:
        words = "_".join((self.dataset, self.mix, self.method, str(self.seed)))
        return re.sub(r"[^a-z0-9_-]+", "-", words) + ".json"


def _score(job: _Job, *, root: Path, folder: Path, settings: TablesSettings) -> str:
    path, read = CLEAN[job.dataset]
    clean = read(root / path).head(MOST)
    rng = np.random.default_rng(job.seed)
    order = [rng.permutation(clean.height) for _ in range(COPIES)]
    lake = {
        f"copy_{number}": inject(clean[rows], job.mix, rng, share=SHARE)
        for number, rows in enumerate(order, start=1)
    }
    truth = np.concatenate(order)
    own = settings.model_copy(update=METHODS[job.method])
    found = integrate(lake, settings=own, seed=job.seed)
    scores = {
        "judgement F1": _judgement(found, truth, clean.height),
        "set similarity": set_similarity(truth, found.sets["set"].to_numpy()),
        "conflict accuracy": _conflicts(found, truth, clean),
    }
    split = split_key(mix=job.mix)
    records = [
        asdict(Record(job.dataset, split, job.method, job.seed, name, value, len(truth)))
        for name, value in scores.items()
    ]
    write_atomic(folder / job.file, json.dumps(records))
    return f"{job.dataset}, {job.mix}, {job.method}"


def _judgement(found: Result, truth: NDArray[np.int64], height: int) -> float:
    """F1 of the pairs that are judged one, against all that are: what blocking misses counts."""
    yes = found.pairs.filter("match")
    left, right = (
        (yes[f"{side}_table"].str.tail(1).cast(pl.Int64) - 1) * height + yes[f"{side}_row"]
        for side in ("left", "right")
    )
    right_ones = int((truth[left.to_numpy()] == truth[right.to_numpy()]).sum())
    true = height * COPIES * (COPIES - 1) // 2
    return 2 * right_ones / max(len(left) + true, 1)


def _conflicts(found: Result, truth: NDArray[np.int64], clean: pl.DataFrame) -> float:
    """Share of the decided cells that say, in the form of their type, what the clean row says."""
    things = pl.DataFrame({"set": found.sets["set"], "thing": truth})
    of_set = things.group_by("set").agg(pl.col("thing").mode().sort().first())
    decided = found.conflicts.join(of_set, on="set")
    right = total = 0
    for (name,), own in decided.group_by("column"):
        texts = texts_of(clean[str(name)])
        kind = kind_of(texts.drop_nulls().to_list(), str(name))
        true = texts.gather(own["thing"]).to_list()
        for value, wanted in zip(own["value"].to_list(), true, strict=True):
            if wanted is not None:
                total += 1
                right += canonical(value, kind) == canonical(wanted, kind)
    return right / total if total else float("nan")


def _stadiums(path: Path) -> pl.DataFrame:
    return read_csv(path, ["index"]).frame.drop("index")


def _originals(path: Path) -> pl.DataFrame:
    return read_febrl(path)[0]


def _restaurants(path: Path) -> pl.DataFrame:
    data = read_pairs(path).without("class")
    return data.frame.filter(data.source == 0).unique(maintain_order=True)


CLEAN: dict[str, tuple[str, Callable[[Path], pl.DataFrame]]] = {
    "dialite stadiums": ("dialite/em_gold/em_stadium_gold_complete.csv", _stadiums),
    "febrl": ("febrl/dataset4a.csv.gz", _originals),
    "fodors": (f"ditto/er_magellan/{SETS['fodors-zagats']}", _restaurants),
}


def tables(metrics: Metrics) -> list[Table]:
    """One for each metric: methods by set and mix."""
    found = []
    for metric in METRICS:
        own = [record for record in metrics.records if record.metric == metric]
        columns = list(dict.fromkeys((r.dataset, r.split) for r in own))
        rows: list[list[Cell | str]] = []
        for method in dict.fromkeys(record.method for record in own):
            values = {c: [r.value for r in own if (r.dataset, r.split, r.method) == (*c, method)]
                      for c in columns}  # fmt: skip
            rows.append([method, *(summarise(values[column]) for column in columns)])
        heads = [f"{name}, {split.removeprefix('mix=')}" for name, split in columns]
        caption = f"Noise injected into three copies of each thing: {metric}; mean ± deviation."
        found.append(Table(caption, ["method", *heads], rows))
    return found
