"""Commands given files made to harm: they say no in one line, in bounded memory and time."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # test files use hostile_files.py

import pytest
from hostile_files import CRADLE, Cradle


@pytest.fixture(scope="session", autouse=True)
def _cradle():
    CRADLE.append(Cradle())
    yield
    CRADLE.pop().close()


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
