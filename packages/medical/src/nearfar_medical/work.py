"""Work in steps whose state is kept now and then, so that a stopped run goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.progress import Progress
from nearfar_kit.run import RunFolder
from nearfar_kit.stopping import stops_between_steps

__all__ = ["Work", "carry_out"]

SAVE_EVERY = 20.0  # seconds between checkpoints


class Work(Protocol):
    """Something done in steps, whose whole state can be kept."""

    done: int

    def step(self) -> float: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


def carry_out(
    work: Work,
    steps: int,
    title: str,
    names: Sequence[str],
    run: RunFolder | None,
    *,
    quiet: bool = True,
) -> None:
    """All steps, from the checkpoint that an earlier run has left.

    Args:
        names: of the volumes or images worked on; those of a checkpoint must be the same.

    Raises:
        UserError: the checkpoint is of other data.
    """
    file: Path | None = None
    if run is not None:
        file = run.checkpoint / f"{title.replace(' ', '-')}.safetensors"
    if file is not None and file.exists():
        kept = load_checkpoint(file)
        if kept["names"] != list(names):
            raise UserError(
                f"--resume: {title} began with {len(kept['names'])} files, these are "
                f"{len(names)} or others; expected the same data and settings"
            )
        work.load_state(kept["state"])

    def save() -> None:
        if run is not None and file is not None and run.writes:
            save_checkpoint(file, {"names": list(names), "state": work.state()})
            run.log(title, step=work.done)

    saved = time.monotonic()
    show: Callable[[], dict[str, float]] = getattr(work, "shown", dict)
    with (
        stops_between_steps() as stop,
        Progress(title, steps, done=work.done, quiet=quiet) as bar,
    ):
        while work.done < steps and not stop.asked:
            bar.advance(loss=work.step(), **show())
            if time.monotonic() - saved > SAVE_EVERY:
                save()
                saved = time.monotonic()
        save()
