"""How much memory this process and those that it began take together, at most.

Peaks that the system keeps count a page that several processes share, or that is a file's, once for
each; here a shared page is counted once (PSS, of Linux).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Peak", "peak_memory"]

EVERY = 0.5  # s


class Peak:
    """MiB at most so far; NaN where the system does not tell."""

    def __init__(self) -> None:
        self.mib = float("nan")

    def look(self) -> None:
        taken = [_taken(pid) for pid in _family()]
        if taken:
            self.mib = max(sum(taken), 0.0 if self.mib != self.mib else self.mib)


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Looks twice a second while the block runs."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            peak.look()

    thread = threading.Thread(target=watch, daemon=True)
    peak.look()
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
        peak.look()


def _family() -> list[int]:
    """This process and its descendants; none where there is no /proc."""
    parent: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold anything.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parent[int(path.parent.name)] = int(fields[1])
    own = {os.getpid()} & parent.keys()
    while more := {pid for pid, above in parent.items() if above in own} - own:
        own |= more
    return sorted(own)


def _taken(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
