"""Jobs that each leave a file, so that a stopped benchmark goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from nearfar_kit.errors import UserError
from nearfar_kit.json_files import read_json
from nearfar_kit.metrics import Record
from nearfar_kit.progress import Progress
from nearfar_kit.workers import each

__all__ = ["Job", "do_jobs", "read_jobs", "read_records", "records_from"]

Through = Callable[[Callable[..., Any], Sequence[Any], int], Generator[Any, None, None]]


class Job(Protocol):
    """Anything that names the file it leaves."""

    @property
    def file(self) -> str: ...


def do_jobs(
    rounds: Sequence[tuple[Callable[..., Any], Sequence[Job]]],
    folder: Path,
    *,
    processes: int,
    title: str = "benchmark",
    label: Callable[[Any], str] = str,
    through: Through = each,
    quiet: bool,
) -> None:
    """Does the jobs whose files do not lie in ``folder``, in so many processes.

    Args:
        rounds: what does a job and leaves its file, and the jobs; a round begins when all of the
            one before are done.
        label: what progress shows of a result.
        through: what has jobs done: work, jobs and number of processes to their results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = [[job for job in jobs if not (folder / job.file).exists()] for _, jobs in rounds]
    total = sum(len(jobs) for _, jobs in rounds)
    try:
        with Progress(title, total, done=total - sum(map(len, left)), quiet=quiet) as bar:
            for (work, _), jobs in zip(rounds, left, strict=True):
                with closing(through(work, jobs, processes)) as ended:
                    for result in ended:
                        bar.advance(last=label(result))
    finally:
        for unfinished in folder.glob(".*.part"):  # a process stopped in the middle of writing
            unfinished.unlink()


def read_jobs(
    jobs: Sequence[Job], folder: Path, made: Callable[[Any], Any] = lambda content: content
) -> list[Any]:
    """What the jobs left, as JSON, in their order.

    Args:
        made: what becomes of each.

    Raises:
        UserError: a file holds no JSON, or what ``made`` does not take.
    """
    found = []
    for job in jobs:
        file = folder / job.file
        content = read_json(file)
        try:
            found.append(made(content))
        except (LookupError, TypeError, ValueError, AttributeError):
            raise UserError(f"{file}: holds no records; expected what a job has left") from None
    return found


def records_from(content: Any) -> list[Record]:
    """One record as JSON, or a list of them; TypeError where it is something else."""
    found = [Record(**one) for one in (content if isinstance(content, list) else [content])]
    if not all(isinstance(one.value, int | float) for one in found):
        raise TypeError
    return found


def read_records(jobs: Sequence[Job], folder: Path) -> list[Record]:
    """The records that each job left, one or a list of them.

    Raises:
        UserError: a file holds something else.
    """
    return [record for some in read_jobs(jobs, folder, records_from) for record in some]
