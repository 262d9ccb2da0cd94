"""Commands given files made to harm: they say no in one line, in bounded memory and time."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # test files use hostile_files.py

import pytest
from hostile_files import CRADLE, Cradle


@pytest.fixture(scope="session", autouse=True)
def _imported():
    """Forks begin with all of it in memory; what a fork takes more is the file's doing."""
    import torch

    for module in ("bundle.bench", "bundle.construct", "bundle.train", "dna.bench", "dna.train",
                   "dna.write_bins", "har.train", "medical.train", "medical.sepclr.separate",
                   "seqrec.bench", "seqrec.train", "speech.continual", "tables.bench.run",
                   "tables.conflicts.server", "tables.lake", "tables.report"):  # fmt: skip
        import_module(f"nearfar_{module}")

    torch.set_num_threads(1)  # threads don't outlive a fork
    CRADLE.append(Cradle())
    yield
    CRADLE.pop().close()


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
