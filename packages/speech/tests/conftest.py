"""Small audio files made as a test asks, and the real sets beside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "speech"


def tone(path, seconds=0.1, rate=16_000, hertz=440.0, channels=1, level=0.5, **options):
    """Writes a sine to ``path``, and gives it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate, **options)
    return path


@pytest.fixture(scope="session")
def write_tone():
    return tone


@pytest.fixture(scope="session")
def real():
    """A folder of the real data sets; the test is skipped where it is not there."""

    def folder(name):
        if not (DATA / name).is_dir():
            pytest.skip(f"{name} is not in ../shared/data/speech beside the repository")
        return DATA / name

    return folder
