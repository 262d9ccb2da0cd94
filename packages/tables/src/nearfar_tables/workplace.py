"""Where long work leaves what is done, so that a run that was killed goes on from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.json_files import read_json

__all__ = ["goes_on_in", "place_of", "workplace"]

BEGUN = "begun.json"


def place_of(out: Path) -> Path:
    """Where the work of a run in ``out`` is kept until it is done."""
    return out.resolve().with_name(f".{out.resolve().name}.work")


def goes_on_in(place: Path) -> bool:
    """Whether a stopped run has left work there."""
    return any(file.name != BEGUN for file in place.iterdir())


@contextmanager
def workplace(out: Path, begun_with: Mapping[str, Any], *, resume: bool) -> Iterator[Path]:
    """A folder beside ``out``, gone when the work is done or was asked for wrongly.

    What a stopped run has left there stands for ``resume``, and is removed without it.

    Args:
        begun_with: what the work depends on, as JSON has it.

    Raises:
        UserError: what was left there was begun with something else; it cannot be written.
    """
    place = place_of(out)
    kept = place / BEGUN
    if resume and kept.exists():
        before = read_json(kept)
        if not isinstance(before, dict):
            raise UserError(f"{kept}: is none of integrate's; remove {place}, or begin anew")
        for what, now in begun_with.items():
            if before.get(what) != now:
                raise UserError(f"--resume: {what} is not what {out} was begun with")
    else:
        shutil.rmtree(place, ignore_errors=True)
        try:
            place.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"{place}: cannot be made ({error.strerror})") from None
        write_atomic(kept, json.dumps(dict(begun_with)))
    try:
        yield place
    except UserError:
        shutil.rmtree(place, ignore_errors=True)
        raise
    shutil.rmtree(place, ignore_errors=True)
