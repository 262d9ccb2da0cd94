"""The benchmark: trained embeddings and compositions on species, or strains, never seen.

Species in alphabetical order: every fourth is for choosing settings and is only trained on; the
others fall by turns into two folds, each tested by models that were trained without it. Of strains,
the last of each of the others that has several is tested by models that were trained without it.
The split ``validation`` tests on the species for choosing settings.

One job is one method, seed and fold; each leaves a file, so that a stopped benchmark goes on where
it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar_dna.baselines import BASELINES
from nearfar_dna.composition import Floats
from nearfar_dna.evaluate import (
    SHOTS,
    binned_as_published,
    binned_species,
    cluster_scores,
    few_shot_f1,
)
from nearfar_dna.fragments import draw_fragments
from nearfar_dna.genomes import Genomes, read_genomes
from nearfar_dna.peers import PEERS
from nearfar_dna.settings import DnaSettings
from nearfar_dna.train import train
from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.jobs import do_jobs, read_records
from nearfar_kit.metrics import Record, split_key
from nearfar_kit.settings import load_settings

__all__ = ["METHODS", "OURS", "PROFILES", "SPLITS", "Profile", "compare", "folds_of"]

OURS = "curriculum"
TRAINED: dict[str, dict[str, Any]] = {
    "whitened, no training": {"steps": 0},
    "SimCLR": {"method": "simclr"},
    "Weighted SimCLR": {"method": "weighted_simclr"},
    "SupCon": {"method": "sup_con", "rows_a_species": 4},
    "i-Mix": {"method": "i_mix", "hardness": 0.0},
    "MI-Mix": {"method": "mi_mix", "hardness": 0.0},
    OURS: {"method": "c2lr", "hardness": 0.0},
    "curriculum, as released": {"method": "c2lr", "hardness": 1.0},
    "curriculum, hardness 0.25": {"method": "c2lr", "hardness": 0.25},
}
UNTRAINED = BASELINES | PEERS
SPLITS = ("species", "strain", "validation")
METHODS = [*UNTRAINED, *TRAINED]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Profile:
    """How much a benchmark does. per_species: fragments tested."""

    seeds: int
    per_species: int
    conditions: tuple[tuple[int, float], ...]  # length, share of read errors
    settings: dict[str, Any]
    splits: tuple[str, ...] = ("species", "strain")


CONDITIONS = tuple((length, errors) for length in (2000, 5000, 10_000) for errors in (0.0, 0.05))
PROFILES = {
    "smoke": Profile(1, 20, ((5000, 0.0),), {"steps": 20, "fragments_a_genome": 20}, ("species",)),
    "cpu": Profile(3, 100, CONDITIONS, {}),
    "gpu": Profile(5, 100, CONDITIONS, {"steps": 1000, "fragments_a_genome": 200}),
}


@dataclass(frozen=True)
class Job:
    """One method, one seed, one split and fold of it."""

    dataset: str
    split: str
    fold: int
    method: str
    seed: int

    @property
    def file(self) -> str:
        words = (self.dataset, self.split, str(self.fold), self.method, str(self.seed))
        return "_".join(word.replace(" ", "-").replace(",", "") for word in words) + ".json"


def folds_of(names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Species for choosing settings, and the two folds of the others.

    Example:
        >>> folds_of(list("abcdefgh"))
        (['b', 'f'], [['a', 'd', 'g'], ['c', 'e', 'h']])
    """
    chosen = sorted(names)[1::4]
    rest = [name for name in sorted(names) if name not in chosen]
    return chosen, [rest[0::2], rest[1::2]]


def compare(
    dataset: str,
    genomes: Path,
    parts: Path,
    settings: DnaSettings,
    profile: Profile,
    methods: Sequence[str],
    seeds: int,
    *,
    processes: int = 1,
    quiet: bool = True,
) -> list[Record]:
    """All records. What lies in ``parts`` is not done again.

    Raises:
        UserError: there are fewer than eight species.
    """
    known = read_genomes(genomes, min_length=settings.min_length)
    if len(known.names) < 8:
        raise UserError(f"{genomes}: {len(known.names)} species; a comparison needs eight or more")
    _loaded[genomes] = known
    jobs = [
        Job(dataset, split, fold, method, seed)
        for seed in range(seeds)
        for split in profile.splits
        if split != "strain" or _has_strains(known)
        for fold in range(2 if split == "species" else 1)
        for method in methods
    ]
    work = partial(run_job, genomes=genomes, parts=parts, settings=settings, profile=profile)
    do_jobs(
        [(work, jobs)], parts, processes=processes, quiet=quiet,
        label=lambda job: f"{job.method}, {job.split} {job.fold}, seed {job.seed}",
    )  # fmt: skip
    return read_records(jobs, parts)


def _tested(known: Genomes) -> set[str]:
    """The species that are not for choosing settings."""
    return set(known.names) - set(folds_of(known.names)[0])


def _has_strains(known: Genomes) -> bool:
    """Whether two species or more have a genome to hold out."""
    several = [name for name in _tested(known) if len(known.of_species([name]).genomes) > 1]
    return len(several) > 1


_loaded: dict[Path, Genomes] = {}  # a worker's genomes, read once


def run_job(
    job: Job, *, genomes: Path, parts: Path, settings: DnaSettings, profile: Profile
) -> Job:
    """Does one job and writes its records into ``parts``."""
    if genomes not in _loaded:
        _loaded[genomes] = read_genomes(genomes, min_length=settings.min_length)
    known = _loaded[genomes]
    if job.split == "strain":
        rest, test = known.strains_held_out(_tested(known))
    else:
        chosen, folds = folds_of(known.names)
        test = known.of_species(chosen if job.split == "validation" else folds[job.fold])
        rest = known.of_species(set(known.names) - set(test.names))
    began = time.process_time()
    model = None
    if job.method in TRAINED:
        own = load_settings(DnaSettings, base=settings.model_dump() | TRAINED[job.method])
        model = train(rest, own, job.seed)
    seconds = time.process_time() - began
    records = []
    for length, errors in profile.conditions:

        def drawn(seed: int, length: int = length, errors: float = errors) -> tuple[Floats, Labels]:
            fragments, labels = draw_fragments(test, profile.per_species, length, seed, errors)
            if model is not None:
                return model.embed(fragments), labels
            return UNTRAINED[job.method](fragments, job.seed), labels

        rows, labels = drawn(1000 + job.seed)
        found = cluster_scores(rows, labels, job.seed) | binned_species(rows, labels)
        whole = (length, errors) == (5000, 0.0)
        for shots in SHOTS if whole else (2,):
            if shots < profile.per_species:
                found[f"f1@{shots}"] = few_shot_f1(rows, labels, shots, job.seed)
        if whole:
            found |= binned_as_published(rows, labels, *drawn(2000 + job.seed))
        split = split_key(by=job.split, length=length, errors=errors, fold=job.fold)
        records += [
            Record(job.dataset, split, job.method, job.seed, name, value, len(labels))
            for name, value in (found | {"train_seconds": seconds}).items()
        ]
    write_atomic(parts / job.file, json.dumps([asdict(record) for record in records]))
    return job
