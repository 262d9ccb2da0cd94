"""What a model sees of each candidate pair: a chunk at a time, on disk, by one process or many.

Memory is that of a chunk, whatever the number of pairs; a chunk does not depend on who makes it, so
any number of processes, or of machines, leaves the same files; those that are there already are not
made again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar_kit.arrays import map_array
from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError
from nearfar_kit.jobs import do_jobs
from nearfar_kit.workers import each
from nearfar_tables.cells import COUNTS, PARSED, Cells
from nearfar_tables.on_ray import each_on_ray
from nearfar_tables.pair_model import PairModel
from nearfar_tables.similarity import ATTRIBUTE, RECORD, PairFeatures

__all__ = ["Evidence", "gather"]

CHUNK = 1 << 15  # pairs
MODEL, PAIRS = "model.safetensors", "pairs.npy"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Features and logits of P pairs, in files of ``CHUNK`` pairs each.

    Attributes:
        attributes: m. files: in the order of the pairs, each [CHUNK, 6 m + 5 + 1].
    """

    attributes: int
    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[tuple[PairFeatures, Floats]]:
        """Features and logits [p], a chunk at a time."""
        for file in self.files:
            yield self._parted(np.array(self._mapped(file)))

    def take(self, pairs: NDArray[np.int64]) -> tuple[PairFeatures, Floats]:
        """Of some pairs, by number, in ascending order."""
        parts = [
            self._mapped(file)[pairs[pairs // CHUNK == place] - place * CHUNK]
            for place, file in enumerate(self.files)
        ]
        return self._parted(np.concatenate(parts))

    def _mapped(self, file: Path) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = map_array(file)
        width = self.attributes * len(ATTRIBUTE) + len(RECORD) + 1
        short = file != self.files[-1] and len(rows) != CHUNK
        if rows.dtype != np.float32 or rows.shape[1:] != (width,) or short:
            raise UserError(f"{file}: is not what these pairs look like; expected a run of them")
        return rows

    def _parted(self, rows: NDArray[np.float32]) -> tuple[PairFeatures, Floats]:
        seam = self.attributes * len(ATTRIBUTE)
        attribute = rows[:, :seam].reshape(len(rows), self.attributes, len(ATTRIBUTE))
        return PairFeatures(attribute, rows[:, seam:-1]), rows[:, -1].astype(np.float64)


def gather(
    model: PairModel,
    cells: Cells,
    pairs: NDArray[np.int64],
    folder: Path,
    *,
    processes: int = 1,
    ray: str | None = None,
    quiet: bool = True,
) -> Evidence:
    """Looks at pairs [P, 2] of rows of ``cells``; the files lie in ``folder``.

    Args:
        ray: the cluster that does it, as :func:`nearfar_tables.on_ray.each_on_ray` names it; None:
            so many ``processes`` of this machine.
    """
    starts = range(0, len(pairs), CHUNK)
    jobs = [_Chunk(start, min(start + CHUNK, len(pairs))) for start in starts]
    processes = min(processes, len(jobs)) or 1  # one chunk is done before a process has begun
    work: Callable[..., Any]
    through: Callable[..., Generator[str, None, None]] = each
    if ray is not None:
        work, through = _seen, _on_ray(model, cells, pairs, folder, ray)
    elif processes == 1:
        work = partial(_look, model=model, cells=cells, pairs=pairs, folder=folder)
    else:
        cells.save(folder)
        np.save(folder / PAIRS, pairs)
        model.save(folder / MODEL)
        work = partial(_look_from, folder=folder)
    do_jobs(
        [(work, jobs)], folder, processes=processes, title="looking at pairs", through=through,
        quiet=quiet,
    )  # fmt: skip
    return Evidence(len(cells.columns), tuple(folder / job.file for job in jobs))


@dataclass(frozen=True)
class _Chunk:
    """Some pairs, from ``start`` to before ``stop``."""

    start: int
    stop: int

    @property
    def file(self) -> str:
        return f"evidence-{self.start:012d}.npy"


def _on_ray(
    model: PairModel, cells: Cells, pairs: NDArray[np.int64], folder: Path, address: str
) -> Callable[..., Generator[str, None, None]]:
    """Has chunks looked at by a cluster, and keeps what comes back."""

    def through(
        work: Callable[..., NDArray[np.float32]], jobs: Sequence[_Chunk], _: int
    ) -> Generator[str, None, None]:
        if not jobs:
            return
        for name in (*COUNTS, *PARSED):  # counted once, here
            getattr(cells, name)
        with closing(each_on_ray(work, jobs, (model, cells, pairs), address)) as ended:
            for job, seen in ended:
                yield _kept(job, seen, folder)

    return through


def _look(
    job: _Chunk, *, model: PairModel, cells: Cells, pairs: NDArray[np.int64], folder: Path
) -> str:
    return _kept(job, _seen(job, model, cells, pairs), folder)


def _seen(
    job: _Chunk, model: PairModel, cells: Cells, pairs: NDArray[np.int64]
) -> NDArray[np.float32]:
    own = np.asarray(pairs[job.start : job.stop])
    rows, local = np.unique(own, return_inverse=True)
    with _one_thread():  # sums of several threads have other last bits
        features, logits = model.look(cells.part(rows), local.reshape(-1, 2))
    flat = features.attribute.reshape(len(own), -1)
    return np.column_stack([flat, features.record, logits]).astype(np.float32)


def _kept(job: _Chunk, seen: NDArray[np.float32], folder: Path) -> str:
    with replacing(folder / job.file) as beside, beside.open("wb") as file:
        np.save(file, seen)
    return f"pair {job.stop}"


def _look_from(job: _Chunk, *, folder: Path) -> str:
    model, cells, pairs = _opened(folder)
    return _look(job, model=model, cells=cells, pairs=pairs, folder=folder)


@lru_cache(maxsize=1)
def _opened(folder: Path) -> tuple[PairModel, Cells, NDArray[np.int64]]:
    model = PairModel.load(folder / MODEL)
    return (
        model,
        Cells.open(folder, model.columns),
        np.load(folder / PAIRS, mmap_mode="r", allow_pickle=False),
    )


class _one_thread:
    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)
