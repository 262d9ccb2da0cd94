"""Small simulated data, as windows, as a table on disk, and a model trained on them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nearfar_har.recording import CHANNELS, Collection
from nearfar_har.settings import HarSettings
from nearfar_har.simulate import simulate
from nearfar_har.train import train
from nearfar_har.windows import cut_windows

QUICK = HarSettings(steps=6, batch=16, tuned_steps=5)


def long_table(collection: Collection) -> pl.DataFrame:
    """One row a sample of a device, as a user's own file has it."""
    parts = []
    for recording in collection.recordings:
        time = recording.start + np.arange(len(recording)) / recording.rate
        names = np.array([*collection.activities, None], dtype=object)[recording.activity]
        for number, device in enumerate(collection.devices):
            parts.append(
                pl.DataFrame(
                    {"time": time, "device": device, "subject": recording.subject}
                    | {c: recording.signals[:, number, i] for i, c in enumerate(CHANNELS)}
                    | {"activity": pl.Series(names.tolist(), dtype=pl.String)}
                )
            )
    return pl.concat(parts)


@pytest.fixture(scope="session")
def collection():
    return simulate(3, minutes_per_activity=0.5, seed=1)


@pytest.fixture(scope="session")
def windows(collection):
    return cut_windows(collection)


@pytest.fixture(scope="session")
def table(collection):
    return long_table(collection)


@pytest.fixture(scope="session")
def table_file(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "own.parquet"
    table.write_parquet(path)
    return path


@pytest.fixture(scope="session")
def quick():
    return QUICK


@pytest.fixture(scope="session")
def model(windows):
    return train(windows, QUICK, seed=0)


@pytest.fixture(scope="session")
def trained_run(table_file, tmp_path_factory):
    """The folder that ``nearfar-har train`` leaves."""
    from nearfar_har.cli import app

    out = tmp_path_factory.mktemp("run") / "run"
    arguments = ["train", "--data", str(table_file), "--out", str(out), "--device", "cpu"]
    sets = ["--set=steps=6", "--set=batch=16", "--set=tuned_steps=5", "--quiet"]
    app([*arguments, *sets], standalone_mode=False)
    return out
