"""A million rows on one machine: febrl amplified by the noise injector, integrated, and by splink.

Each method runs in a process of its own. CPU seconds are those of all its processes, and the
machine's load is told, so that figures of a busy machine can be read.
"""

from __future__ import annotations

import json
import os
import resource
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.atomic import replacing, write_atomic
from nearfar_kit.jobs import do_jobs, read_records
from nearfar_kit.metrics import Metrics, Record, split_key
from nearfar_kit.table import Cell, Table, summarise
from nearfar_tables.bench.memory import peak_memory
from nearfar_tables.bench.part import Ask
from nearfar_tables.bench.splink import SPLINK, splink_is_there, splink_sets
from nearfar_tables.febrl import amplified, read_febrl
from nearfar_tables.lake import Lake
from nearfar_tables.measures import b_cubed, pairwise_scores
from nearfar_tables.settings import TablesSettings

__all__ = ["measure", "tables"]

PEOPLE = "febrl/dataset4a.csv.gz"
METRICS = (
    "pairwise precision", "pairwise recall", "pairwise F1", "B-cubed F1", "wall seconds",
    "CPU seconds", "peak MiB", "load average",
)  # fmt: skip
# Columns of which splink's rows must share one group: what one who knows the data would block on.
RULES = [
    ("soc_sec_id",),
    ("given_name", "surname"),
    ("date_of_birth", "surname"),
    ("date_of_birth", "given_name"),
    ("date_of_birth", "postcode"),
    ("surname", "address_1"),
]


def measure(ask: Ask, metrics: Metrics) -> bool:
    """Whether febrl was there."""
    if not (ask.root / PEOPLE).exists():
        return False
    folder = ask.folder / f"scale-{ask.rows}"
    _make(ask, folder)
    methods = ["nearfar", *([SPLINK] if splink_is_there() else [])]
    work = partial(_run, folder=folder, settings=ask.settings, processes=ask.processes)
    # A round each: one after the other, in a process that is not this one.
    rounds = [(work, [_Job(method)]) for method in methods]
    do_jobs(rounds, folder, processes=2, title=f"{ask.rows} rows", quiet=ask.quiet)
    metrics.add(read_records([_Job(method) for method in methods], folder))
    return True


@dataclass(frozen=True)
class _Job:
    method: str

    @property
    def file(self) -> str:
        return f"{self.method}.json"


def _make(ask: Ask, folder: Path) -> None:
    """Registers and truth, once."""
    if (folder / "truth.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    tables, truth = amplified(read_febrl(ask.root / PEOPLE)[0], ask.rows)
    for name, table in tables.items():
        with replacing(folder / f"{name}.parquet") as beside:
            table.write_parquet(beside)
    with replacing(folder / "truth.npy") as beside, beside.open("wb") as file:
        np.save(file, truth)


def _run(job: _Job, *, folder: Path, settings: TablesSettings, processes: int) -> str:
    truth = np.load(folder / "truth.npy", allow_pickle=False)
    paths = sorted(folder.glob("register_*.parquet"))
    wall, cpu = time.monotonic(), _cpu()
    with peak_memory() as peak:
        if job.method == SPLINK:
            sets = splink_sets({path.stem: pl.read_parquet(path) for path in paths}, RULES)
        else:
            sets = _integrated(paths, folder / "work", settings, processes)
    wall, cpu = time.monotonic() - wall, _cpu() - cpu
    scores = (
        *pairwise_scores(truth, sets), b_cubed(truth, sets)[2], wall, cpu,
        peak.mib, os.getloadavg()[2],
    )  # fmt: skip
    split = split_key(cores=len(os.sched_getaffinity(0)))
    records = [
        asdict(Record(f"febrl, amplified to {len(truth)} rows", split, job.method, 0, name, value,
                      len(truth)))
        for name, value in zip(METRICS, scores, strict=True)
    ]  # fmt: skip
    write_atomic(folder / job.file, json.dumps(records))
    return job.method


def _integrated(
    paths: list[Path], work: Path, settings: TablesSettings, processes: int
) -> NDArray[np.int64]:
    """From files to one table with its grounds; the table itself is not kept."""
    work.mkdir(exist_ok=True)
    lake = Lake.of(paths, settings=settings, folder=work, processes=processes)
    result = lake.result()
    found: NDArray[np.int64] = result.sets["set"].to_numpy()
    return found


WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in WHO]
    return sum(one.ru_utime + one.ru_stime for one in used)


def tables(metrics: Metrics) -> list[Table]:
    """Methods by metric."""
    own = [record for record in metrics.records if record.split.startswith("cores=")]
    if not own:
        return []
    rows: list[list[Cell | str]] = [
        [m, *(summarise([r.value for r in own if (r.method, r.metric) == (m, k)]) for k in METRICS)]
        for m in dict.fromkeys(record.method for record in own)
    ]
    caption = f"Sets of {own[0].dataset}, {own[0].split.removeprefix('cores=')} cores."
    return [Table(caption, ["method", *METRICS], rows, least=METRICS[4:])]
