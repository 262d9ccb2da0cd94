"""A progress bar with the time left, or sparse lines where there is no terminal."""

from __future__ import annotations

import os
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

__all__ = ["Progress"]

LINE_EVERY = 10.0  # seconds between lines where there is no terminal


class Progress:
    """``with Progress("pre-training", steps) as bar: ... bar.advance(loss=0.3)``.

    Prints to stderr, so that stdout can be piped; nothing when quiet or on other ranks than 0.
    """

    def __init__(self, description: str, total: int, *, done: int = 0, quiet: bool = False) -> None:
        self.description = description
        self.total = total
        self.done = done
        self.quiet = quiet or os.environ.get("RANK", "0") != "0"
        self.console = Console(stderr=True)
        self.began = self.told = time.monotonic()
        self.first = done
        self.bars: Bars | None = None

    def __enter__(self) -> Progress:
        if not self.quiet and self.console.is_terminal:
            self.bars = Bars(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                TextColumn("{task.fields[live]}"), console=self.console,
            )  # fmt: skip
            self.bars.start()
            self.task = self.bars.add_task(
                self.description, total=self.total, completed=self.done, live=""
            )
        return self

    def advance(self, **live: float | str) -> None:
        """One more of the total is done; ``live`` is shown beside the bar."""
        self.done += 1
        text = "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in live.items()
        )
        if self.bars is not None:
            self.bars.update(self.task, completed=self.done, live=text)
        elif not self.quiet:
            now = time.monotonic()
            if now - self.told >= LINE_EVERY or self.done == self.total:
                self.told = now
                left = (now - self.began) / (self.done - self.first) * (self.total - self.done)
                self.console.print(
                    f"{self.description}: {self.done}/{self.total}, {left:.0f} s left  {text}",
                    highlight=False,
                )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bars is not None:
            self.bars.stop()
