"""Jobs as tasks of a Ray cluster, whose results come back here: no disk need be shared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from socket import create_connection
from typing import Any, TypeVar

from nearfar_kit.errors import UserError

__all__ = ["cluster", "each_on_ray"]

Job = TypeVar("Job")
Result = TypeVar("Result")
AHEAD = 2  # tasks a processor that are given out, so that few results wait to be fetched

PATIENCE = 10.0  # seconds


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """Ray, with a cluster; one that this process is in already is left alone.

    Args:
        address: ``local`` begins a cluster of this machine alone, ``auto`` joins the one that it is
            part of, ``HOST:PORT`` or ``ray://HOST:PORT`` another.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError(f"--ray: {error}; expected pip install nearfar-tables[ray]") from None
    if address not in ("local", "auto"):
        _look_for(address)
    if ray.is_initialized():
        yield ray
        return
    dashboard = False if address == "local" else None  # of another cluster it may not be asked
    try:
        ray.init(
            address=address, log_to_driver=False, logging_level=logging.ERROR,
            include_dashboard=dashboard,
        )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"--ray {address}: no cluster answers ({reason})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _look_for(address: str) -> None:
    """Ray itself asks an address that nobody answers at for more than ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--ray {address}: expected local, auto, HOST:PORT or ray://HOST:PORT")
    try:
        create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--ray {address}: no cluster answers ({error})") from None


def each_on_ray(
    work: Callable[..., Result], jobs: Iterable[Job], shared: tuple[Any, ...], address: str
) -> Generator[tuple[Job, Result], None, None]:
    """Jobs, and what ``work(job, *shared)`` gives of each, as they end.

    Ray does a task again that was lost with its machine.

    Args:
        shared: is sent to each machine once.
        address: as of :func:`cluster`.
    """
    with cluster(address) as ray:
        task = ray.remote(num_cpus=1)(work)
        sent = [ray.put(part) for part in shared]
        most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        running: dict[Any, Job] = {}
        for job in jobs:
            if len(running) == most:
                yield _first(ray, running)
            running[task.remote(job, *sent)] = job
        while running:
            yield _first(ray, running)


def _first(ray: Any, running: dict[Any, Any]) -> tuple[Any, Any]:
    (done, *_), _ = ray.wait(list(running), num_returns=1)
    return running.pop(done), ray.get(done)
