"""The benchmark: every method on the same honest splits; a job is one method on one of them."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nearfar_bundle.baselines import best_blend, simple_scorers
from nearfar_bundle.catalogue import Catalogue
from nearfar_bundle.data import split_of
from nearfar_bundle.evaluate import Scorer, among_kinds, evaluate, records_of
from nearfar_bundle.later import with_cold_items_later
from nearfar_bundle.raised import cold_raised
from nearfar_bundle.readers import read
from nearfar_bundle.settings import VARIANTS, BundleSettings
from nearfar_bundle.split import Split
from nearfar_bundle.train import train
from nearfar_kit.atomic import write_atomic
from nearfar_kit.jobs import do_jobs, read_jobs, records_from
from nearfar_kit.layouts import set_name
from nearfar_kit.metrics import Record, split_key
from nearfar_kit.sentences import MINILM, minilm_is_there
from nearfar_kit.settings import load_settings

__all__ = [
    "BLEND", "METHODS", "MISSING", "NEW", "RAISED", "SIMPLE", "at_hand", "compare", "settings_of",
    "simple_of",
]  # fmt: skip

SIMPLE, BLEND, RAISED = "simple", "best blend", "best blend, cold items raised"
NEW = "nearfar, cold items came later"
BY_MINILM = {"sentences": MINILM}
SIMPLE_READ, READ = "simple, MiniLM", "nearfar, MiniLM"
NO_ITEMS, NO_BUNDLES = {"item_views": "none"}, {"bundle_views": "none"}
# CLHE's towers, catalogue and loss without its contrasts: what other encoders of bundles stand on.
PLAIN = VARIANTS["paper"] | NO_ITEMS | NO_BUNDLES

# How a method departs from the settings it is run with.
METHODS: dict[str, dict[str, Any]] = {
    SIMPLE: {},
    "nearfar": {},
    NEW: {},
    "nearfar, words count alike": {"word_rate": 1e-9},
    SIMPLE_READ: BY_MINILM,
    READ: BY_MINILM,
    "nearfar, encoder": {"encoder": True},
    "nearfar, encoder, no contrast": {"encoder": True} | NO_ITEMS | NO_BUNDLES,
    "CLHE as published": VARIANTS["paper"],
    "CLHE, no item contrast": VARIANTS["paper"] | NO_ITEMS,
    "CLHE, no bundle contrast": VARIANTS["paper"] | NO_BUNDLES,
    "CLHE, no contrast": PLAIN,
    "CLHE, items dropout": VARIANTS["paper"] | {"item_views": "dropout"},
    "CLHE, items modalities": VARIANTS["paper"] | {"item_views": "modalities"},
    "CLHE, items same": VARIANTS["paper"] | {"item_views": "same"},
    "CLHE, bundles replace": VARIANTS["paper"] | {"bundle_views": "replace"},
    "CLHE, bundles add": VARIANTS["paper"] | {"bundle_views": "add"},
    "CLHE, tied, held-out target": VARIANTS["paper"]
    | {"towers": "tied", "target": "held_out", "id_rows": "warm"},
    "CLHE, BCE": VARIANTS["paper"] | {"loss": "bce"},
    "MultiDAE": PLAIN | {"bundle_encoder": "denoising"},
    "MultiVAE": PLAIN | {"bundle_encoder": "variational"},
    "Bi-LSTM": PLAIN | {"bundle_encoder": "recurrent"},
    "Transformer": PLAIN | {"bundle_encoder": "transformer"},
    "Transformer + CL": PLAIN | {"bundle_encoder": "transformer", "bundle_views": "drop"},
}


# What says something of texts alone.
TEXTS = (NEW, "nearfar, words count alike", SIMPLE_READ, READ)
# What is run with features taken away too, and with several seeds.
MISSING = ("nearfar", "nearfar, encoder", "nearfar, encoder, no contrast")
SEVERAL = ("nearfar",)
# What is run on large catalogues too: on every split the first, once the others of the literature.
FIRST = (SIMPLE, "nearfar", NEW)
PEERS = (
    "CLHE as published", "CLHE, no contrast", "MultiDAE", "MultiVAE", "Bi-LSTM", "Transformer",
    "Transformer + CL",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One method on one split with one seed; all simple ones are one job."""

    dataset: str
    method: str
    split: int
    seed: int
    missing: float = 0.0

    @property
    def file(self) -> str:
        words = [self.dataset, self.method, f"split{self.split}", f"seed{self.seed}"]
        words += [f"missing{self.missing:g}"] if self.missing else []
        return "_".join(word.replace(" ", "-").replace(",", "") for word in words) + ".json"


def compare(
    paths: Sequence[Path],
    parts: Path,
    settings: BundleSettings,
    methods: Sequence[str],
    splits: int,
    seeds: int,
    *,
    missing: Sequence[float] = (),
    large: int = 0,
    processes: int = 1,
    quiet: bool = True,
) -> list[Record]:
    """All methods' records. What lies in ``parts`` is not done again.

    Args:
        paths: a folder a data set.
        parts: folder of finished jobs.
        seeds: of the default; simple scores have none, and the others take one.
        missing: shares of the features that are taken away, of sets that have texts.
        large: items; on catalogues of more, models of the literature are run on one split, and
            ablations not. 0: everything on every set.
    """
    by_name = {set_name(path): path for path in paths}
    big = {name for name, path in by_name.items() if large and len(read(path)) > large}
    jobs = jobs_of(by_name, methods, splits, seeds, missing, big)
    work = partial(run_job, paths=by_name, parts=parts, settings=settings)
    do_jobs(
        [(work, jobs)], parts, processes=processes, quiet=quiet,
        label=lambda job: f"{job.dataset}, {job.method}, split {job.split}",
    )  # fmt: skip
    found = read_jobs(jobs, parts, lambda content: records_from(content["records"]))
    return [record for some in found for record in some]


def jobs_of(
    datasets: Iterable[str], methods: Sequence[str], splits: int, seeds: int,
    missing: Sequence[float] = (), big: Container[str] = (),
) -> list[Job]:  # fmt: skip
    """The default and what it must beat first, so that a bench that was stopped tells of them."""
    jobs = [
        Job(name, method, split, seed)
        for method in methods
        for name in datasets
        for split in range(splits)
        for seed in range(seeds if method in SEVERAL else 1)
    ] + [
        Job(name, method, split, 0, share)
        for share in missing
        for name in datasets
        for split in range(splits)
        for method in methods
        if method in MISSING
    ]
    return [
        job for job in jobs
        if job.dataset not in big
        or (not job.missing and job.method in FIRST)
        or (job.method in PEERS and job.split == 0)
    ]  # fmt: skip


def settings_of(method: str, settings: BundleSettings) -> BundleSettings:
    """The settings a method is run with."""
    return load_settings(BundleSettings, base=settings.model_dump() | METHODS[method])


def run_job(job: Job, *, paths: dict[str, Path], parts: Path, settings: BundleSettings) -> Job:
    """Does one job and writes what it found into ``parts``."""
    records = measured(job, read(paths[job.dataset]), settings)
    write_atomic(parts / job.file, json.dumps({"records": [asdict(r) for r in records]}))
    return job


def measured(job: Job, known: Catalogue, settings: BundleSettings) -> list[Record]:
    """The records of one job; none where a set has not what the method needs."""
    if (job.method in TEXTS or job.missing) and not known.texts:
        return []
    own = settings_of(job.method, settings).model_copy(update={"missing": job.missing})
    split = split_of(known, own, job.split)
    began = time.process_time()
    scorers: dict[str, Scorer] = {}
    if job.method in (SIMPLE, SIMPLE_READ):
        scorers |= simple_of(split, read=job.method == SIMPLE_READ)
    elif job.method == NEW:
        scorers[NEW] = with_cold_items_later(split, own, job.seed)
    else:
        scorers[job.method] = train(split, own, job.seed)
    seconds = time.process_time() - began
    records = []
    for name, scorer in scorers.items():
        warm = split.degrees > 0
        found = evaluate(scorer, split.test, warm) | among_kinds(scorer, split.test, warm)
        found |= {"cpu seconds": seconds}
        records += records_of(
            found, dataset=job.dataset, method=name, seed=job.seed, n=len(split.test),
            split=split_key(split=job.split, missing=job.missing),
        )  # fmt: skip
    return records


def simple_of(split: Split, *, read: bool) -> dict[str, Scorer]:
    """All simple scorers and their blends; of those that read sentences too, these alone."""
    simple = simple_scorers(split)
    blend, _ = best_blend(split, simple)
    raised = cold_raised(split, blend)
    if not read:
        return {**simple, BLEND: blend, RAISED: raised}
    told = {name: own for name, own in simple.items() if "sentences" in name}
    return {**told, f"{BLEND}, MiniLM": blend, f"{RAISED}, MiniLM": raised}


def at_hand(methods: Sequence[str]) -> tuple[str, ...]:
    """Those of a profile whose weights are installed."""
    there = minilm_is_there()
    return tuple(m for m in methods if there or METHODS[m].get("sentences") != MINILM)
