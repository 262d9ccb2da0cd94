"""Matching without labels on er_magellan, its ablations, plain scorers and splink."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.jobs import do_jobs, read_records
from nearfar_kit.metrics import Metrics, Record
from nearfar_kit.sentences import MINILM, minilm_is_there
from nearfar_kit.table import Cell, Table, summarise
from nearfar_tables.bench.part import Ask
from nearfar_tables.bench.splink import SPLINK, splink_is_there, splink_pairs
from nearfar_tables.benchmarks import SETS, LabelledPairs, read_pairs
from nearfar_tables.cells import Cells
from nearfar_tables.matching import match
from nearfar_tables.settings import TablesSettings
from nearfar_tables.similarity import RECORD, Similarity

__all__ = ["METHODS", "PUBLISHED", "left_out", "measure", "tables"]

READS = "nearfar, MiniLM"
# How a method departs from the settings it is run with.
METHODS: dict[str, dict[str, object]] = {
    "nearfar": {},
    READS: {"encoder": MINILM},
    "no adversarial examples": {"adversarial": "none"},
    "no perturbations": {"epochs": 0},
    "ssacl, mixture": {"calibration": "mixture"},
    "ssacl, from 0.5 on": {"calibration": "fixed"},
}
SCORER = "3-gram cosine, threshold from valid labels"
# Measured before this package: scorers whose threshold was tuned on the labels of valid.
PUBLISHED = {
    "MiniLM cosine": (0.812, 0.952, 0.724, 0.690, 0.458, None, 0.333),
    "char-3-gram TF-IDF cosine": (0.757, 1.000, 0.625, 0.595, 0.556, 0.915, 0.668),
}
TEST = 2
F1 = "F1 of test pairs"


def measure(ask: Ask, metrics: Metrics) -> bool:
    """Whether there was one of the sets in ``ditto/er_magellan``.

    Raises:
        UserError: an unknown method or set.
    """
    for name in ask.methods or ():
        if name not in (*METHODS, SPLINK):
            raise UserError(f"--methods {name}: expected some of {'; '.join((*METHODS, SPLINK))}")
    folders = {name: ask.root / "ditto" / "er_magellan" / path for name, path in SETS.items()}
    found = {name: path for name, path in folders.items() if path.is_dir()}
    if ask.dataset is not None:
        if ask.dataset not in found:
            raise UserError(f"--dataset {ask.dataset}: expected one of {', '.join(found)}")
        found = {ask.dataset: found[ask.dataset]}
    jobs = _jobs(found, ask)
    folder = ask.folder / "matching"
    work = partial(_match, paths=found, folder=folder, settings=ask.settings)
    do_jobs([(work, jobs)], folder, processes=ask.processes, title="matching", quiet=ask.quiet)
    metrics.add(read_records(jobs, folder))
    return bool(found)


@dataclass(frozen=True)
class _Job:
    """One method on one set and seed.

    Attributes:
        leaving_out: columns that are not looked at.
    """

    dataset: str
    method: str
    seed: int
    leaving_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        out = " and ".join(self.leaving_out)
        return f"{self.dataset} without {out}" if out else self.dataset

    @property
    def file(self) -> str:
        words = "_".join((self.name, self.method, str(self.seed)))
        return re.sub(r"[^a-z0-9_-]+", "-", words) + ".json"


def _jobs(found: Mapping[str, Path], ask: Ask) -> list[_Job]:
    jobs = []
    usual = [name for name in METHODS if name != READS or minilm_is_there()]
    methods = [name for name in ask.methods or usual if name != SPLINK]
    for name in found:
        # Fodors-Zagats' ``class`` is the truth's own number of a restaurant: with and without it.
        for out in ((), ("class",)) if name == "fodors-zagats" else ((),):
            jobs.append(_Job(name, SCORER, 0, out))
            if splink_is_there() and (ask.methods is None or SPLINK in ask.methods):
                jobs.append(_Job(name, SPLINK, 0, out))
            for method in methods:
                # Without perturbed copies there is no chance in it; MiniLM takes minutes a seed.
                learns = ask.settings.model_copy(update=METHODS[method]).epochs
                several = learns and method != READS
                jobs += [_Job(name, method, s, out) for s in range(ask.seeds if several else 1)]
    return jobs


def _match(job: _Job, *, paths: Mapping[str, Path], folder: Path, settings: TablesSettings) -> str:
    """Does one job and leaves its record in ``folder``."""
    data = read_pairs(paths[job.dataset])
    if job.leaving_out:
        data = data.without(*job.leaving_out)
    if job.method == SCORER:
        yes = _scored(data)
    elif job.method == SPLINK:
        yes = splink_pairs(data.frame, data.source, data.pairs)
    else:
        own = settings.model_copy(update=METHODS[job.method])
        yes = match(data.frame, data.pairs, source=data.source, settings=own, seed=job.seed).match
    test = data.split == TEST
    score = float(f1_score(data.label[test], yes[test]))
    record = Record(job.name, "test", job.method, job.seed, F1, score, int(test.sum()))
    write_atomic(folder / job.file, json.dumps(asdict(record)))
    return f"{job.name}, {job.method}"


def _scored(data: LabelledPairs) -> NDArray[np.bool_]:
    """The cosine of whole rows, cut where F1 on the labels of valid is best."""
    cells = Cells.of(data.frame)
    record = Similarity(cells).features(cells, data.pairs).record
    scores = record[:, RECORD.index("grams")]
    valid = data.split == 1
    cuts = np.unique(scores[valid])
    best = max(cuts, key=lambda cut: f1_score(data.label[valid], scores[valid] >= cut))
    yes: NDArray[np.bool_] = scores >= best
    return yes


def left_out() -> list[str]:
    """A line for each peer or encoder that is not installed."""
    there = {"splink": splink_is_there(), MINILM: minilm_is_there()}
    return [
        f"{name} is left out: pip install 'nearfar-tables[{name}]'"
        for name, found in there.items()
        if not found
    ]


def tables(metrics: Metrics) -> list[Table]:
    own = [record for record in metrics.records if record.metric == F1]
    sets = list(dict.fromkeys(record.dataset for record in own))
    if not sets:
        return []
    rows: list[list[Cell | str]] = []
    for method in dict.fromkeys(record.method for record in own):
        values = {
            name: [r.value for r in own if (r.dataset, r.method) == (name, method)] for name in sets
        }
        rows.append([method, *(summarise(values[name]) for name in sets)])
    for name, scores in PUBLISHED.items():
        known = dict(zip(SETS, scores, strict=True))
        rows.append([f"{name} (design page)", *(_told(known.get(name)) for name in sets)])
    caption = "F1 on test pairs, without labels but for the scorers' thresholds; mean ± deviation."
    return [Table(caption, ["method", *sets], rows)]


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
