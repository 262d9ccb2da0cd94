"""Stopping between steps: Ctrl-C, or a cluster's SIGTERM, waits until what is half done is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "stops_between_steps"]


class StopRequest:
    """Whether someone has asked this process to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def stops_between_steps() -> Iterator[StopRequest]:
    """Inside, the first SIGINT or SIGTERM only sets ``asked``; the second one interrupts at once.

    The loop inside looks at ``asked`` after each step, saves, and leaves by ``break``;
    KeyboardInterrupt is raised when the block ends. Without this a signal could fall between two
    halves of an optimizer's step, and what is saved then would be no step's state.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request.asked:
            raise KeyboardInterrupt
        request.asked = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if request.asked:
        raise KeyboardInterrupt
