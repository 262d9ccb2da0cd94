"""Which volumes a run was begun with, so that a resumed one is told before all is prepared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.run import RunFolder
from nearfar_medical.cases import Case

__all__ = ["check_volumes", "keep_volumes"]


def check_volumes(run: RunFolder, parts: Mapping[str, Sequence[Case]]) -> None:
    """Nothing, where the run was begun with the same volumes in each part, or keeps none yet.

    Raises:
        UserError: there are others, or in other parts.
    """
    file = _file(run)
    if not run.writes or not file.exists():
        return
    before: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    now = _part_of(parts)
    other = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if other:
        was, is_now = (parts_.get(other[0], "not there") for parts_ in (before, now))
        raise UserError(
            f"--resume: {len(other)} of {len({*before, *now})} volumes are not as {run.path} was "
            f"begun with, first {other[0]} (was {was}, is {is_now}); expected the same data, "
            "--subjects, --test and --seed"
        )


def keep_volumes(run: RunFolder, parts: Mapping[str, Sequence[Case]]) -> None:
    """Once something is done: a run that has done nothing is taken back whole."""
    if run.writes:
        write_atomic(_file(run), json.dumps(_part_of(parts), indent=1) + "\n")


def _file(run: RunFolder) -> Path:
    return run.path / "checkpoint" / "volumes.json"


def _part_of(parts: Mapping[str, Sequence[Case]]) -> dict[str, str]:
    return {case.name: part for part, cases in parts.items() for case in cases}
