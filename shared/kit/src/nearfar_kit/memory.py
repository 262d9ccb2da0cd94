"""How a command line's process holds its memory."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt, in malloc.h


def keep_freed_memory() -> None:
    """What is freed stays with the process, for its next use.

    glibc gives large blocks back at once, and the kernel fills them with zeros when they are asked
    for again: on a CPU that is up to half the time of a step of training, whose tensors are the
    same each time. Does nothing where the C library is another.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
