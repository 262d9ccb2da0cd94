"""Simulated genomes and a model trained on them for a moment."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # test files use each other's definitions

import pytest
from hypothesis import settings

from nearfar_dna.alphabet import decode
from nearfar_dna.settings import DnaSettings
from nearfar_dna.simulate import simulate
from nearfar_dna.train import train

settings.register_profile("nearfar", deadline=None)
settings.load_profile("nearfar")

SMALL = {"steps": 6, "fragments_a_genome": 10, "width": 16, "hidden": 16, "shortest": 500,
         "longest": 1500}  # fmt: skip


@pytest.fixture(scope="session")
def genomes():
    return simulate(species=6, bases=20_000, seed=3)


@pytest.fixture(scope="session")
def model(genomes):
    return train(genomes, DnaSettings(**SMALL), 0)


@pytest.fixture(scope="session")
def genome_file(genomes, tmp_path_factory):
    """One FASTA of all genomes, species after the id."""
    path = tmp_path_factory.mktemp("data") / "genomes.fna"
    with path.open("w") as file:
        for number, genome in enumerate(genomes.genomes):
            for place in range(5):
                text = decode(genome.pieces[0][4000 * place : 4000 * (place + 1)])
                file.write(f">c{number}_{place} {genome.species}\n{text}\n")
    return path


@pytest.fixture(scope="session")
def run_folder(genome_file, tmp_path_factory):
    """The folder that ``nearfar-dna train`` leaves."""
    from nearfar_dna.cli import app

    out = tmp_path_factory.mktemp("run") / "run"
    sets = [f"--set={key}={value}" for key, value in SMALL.items()]
    arguments = ["train", "--data", str(genome_file), "--out", str(out), "--device", "cpu"]
    app([*arguments, "--quiet", *sets], standalone_mode=False)
    return out
