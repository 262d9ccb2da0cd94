"""Jobs in several processes that end with the process that began them, however it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import active_children, connection, get_context, parent_process
from typing import TypeVar

from nearfar_kit.memory import keep_freed_memory
from nearfar_kit.stopping import stops_between_steps

__all__ = ["each"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def each(
    work: Callable[[Job], Result], jobs: Sequence[Job], processes: int
) -> Generator[Result, None, None]:
    """The results of ``work`` on each job, as they come, from so many processes.

    Ctrl-C, SIGTERM, or any exception ends the processes at once, in the middle of their jobs:
    what they leave, they write by :func:`nearfar_kit.atomic.write_atomic`. With one process the
    jobs are done in this one.
    """
    if processes == 1:
        yield from map(work, jobs)
        return
    # One thread a process: two would wait for each other.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    others = active_children()
    with (
        stops_between_steps() as request,  # an exception in the pool's own code would break it
        ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin) as pool,
    ):
        pending: set[Future[Result]] = set()
        try:
            with _interrupts_held_back():
                pending = {pool.submit(work, job) for job in jobs}
            while pending and not request.asked:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            if pending:  # a pool whose workers are gone marks them failed and ends by itself
                for worker in active_children():
                    if worker not in others:
                        worker.terminate()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """A terminal's Ctrl-C goes to every process; processes begun inside never see it.

    A blocked signal stays blocked in a child from its first instruction on, where an
    initializer would come only after seconds of imports. This process gets the signal when the
    block ends.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    keep_freed_memory()
    _end_with_parent()


def _end_with_parent() -> None:
    """A killed parent can tell its workers nothing: each looks after it in a thread."""
    parent = parent_process()
    assert parent is not None

    def look() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
