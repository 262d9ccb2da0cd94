"""Work in steps whose state is kept now and then, so that a stopped run goes on where it was."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Protocol, TypeVar

from nearfar import NotFiniteError
from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.errors import UserError, first_line
from nearfar_kit.progress import Progress
from nearfar_kit.run import RunFolder
from nearfar_kit.stopping import stops_between_steps

__all__ = ["Work", "carry_out", "finite"]

SAVE_EVERY = 20.0  # seconds between checkpoints


class Work(Protocol):
    """Something done in steps, whose whole state can be kept."""

    done: int  # steps

    def step(self) -> float:
        """Does one step; gives its loss."""

    def state(self) -> dict[str, Any]: ...

    def load_state(self, state: dict[str, Any]) -> None: ...


W = TypeVar("W", bound=Work)


def finite(step: Callable[[W], float]) -> Callable[[W], float]:
    """A step that tells its user where training has diverged: nothing is learnt after that.

    Raises:
        UserError: the loss, or what it is taken of, is infinite or not a number.
    """

    @wraps(step)
    def told(work: W) -> float:
        number = work.done + 1
        try:
            loss = step(work)
            if math.isfinite(loss):
                return loss
            reason = f"the loss is {loss}"
        except NotFiniteError as error:
            reason = str(error)
        raise UserError(
            f"training, step {number}: {reason}; expected finite numbers, try a lower learning rate"
        )

    return told


def carry_out(
    work: Work,
    steps: int,
    title: str,
    begun_with: Mapping[str, Any],
    run: RunFolder | None = None,
    *,
    over: Callable[[], bool] | None = None,
    shown: Callable[[], dict[str, float]] = dict,
    quiet: bool = True,
) -> None:
    """Does the steps that are left, from the checkpoint that an earlier run has left.

    The checkpoint is written every 20 seconds, at the end, and when the run is asked to stop.

    Args:
        work: what is done; its ``done`` counts the steps.
        steps: of the whole work.
        title: shown beside the progress, and the checkpoint's name.
        begun_with: what the work was begun with (seed, names or counts of the data), as JSON has
            it; that of a checkpoint must be the same.
        run: where the checkpoint and the log go.
        over: whether the work ends before its steps do.
        shown: figures beside the loss.

    Raises:
        UserError: the checkpoint is of other data.
        KeyboardInterrupt: after what is done was saved.
    """
    file = None
    if run is not None:
        file = (
            run.checkpoint / f"{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.safetensors"
        )
    if file is not None and file.exists():
        kept = load_checkpoint(file)
        before = kept.get("begun_with")
        if not isinstance(before, dict):
            raise UserError(f"{file}: is no checkpoint of {title}; expected what a run has left")
        for what, now in begun_with.items():
            if before.get(what) != now:
                raise UserError(
                    f"--resume: {title} began with {what} {_told(before.get(what))}, "
                    f"now {_told(now)}; expected the same"
                )
        try:
            work.load_state(kept["state"])
            if not isinstance(work.done, int) or work.done < 0:
                raise ValueError(f"done is {work.done!r}")
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            first = first_line(error)
            raise UserError(f"{file}: does not hold together ({first})") from None

    def save() -> None:
        if run is not None and file is not None and run.writes:
            save_checkpoint(file, {"begun_with": dict(begun_with), "state": work.state()})
            run.log(title, step=work.done)

    saved = time.monotonic()
    with (
        stops_between_steps() as stop,
        Progress(title, steps, done=work.done, quiet=quiet) as bar,
    ):
        while work.done < steps and not (stop.asked or (over is not None and over())):
            bar.advance(loss=work.step(), **shown())
            if time.monotonic() - saved > SAVE_EVERY:
                save()
                saved = time.monotonic()
        save()


def _told(value: Any) -> str:
    if isinstance(value, list) and value:
        return f"{value[0]} to {value[-1]} ({len(value)})"
    return str(value)
