"""What every domain's ``bench`` asks: a profile, methods, seeds, processes; and of which data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from nearfar_kit.command import tell
from nearfar_kit.errors import UserError

__all__ = [
    "Methods",
    "Processes",
    "ProfileName",
    "methods_of",
    "processes_of",
    "profile_of",
    "usable",
]

P = TypeVar("P")
T = TypeVar("T")

ProfileName = Annotated[str, typer.Option("--profile", help="smoke, cpu or gpu.")]
Methods = Annotated[str | None, typer.Option("--methods", help="Names, separated by semicolons.")]
Processes = Annotated[int | None, typer.Option("--processes", min=1, help="Default: one a core.")]


def profile_of(profiles: Mapping[str, P], name: str) -> P:
    """The profile that ``--profile`` names.

    Raises:
        UserError: it names none.
    """
    if name not in profiles:
        raise UserError(f"--profile {name}: expected one of {', '.join(profiles)}")
    return profiles[name]


def methods_of(given: str | None, known: Iterable[str], default: Iterable[str]) -> list[str]:
    """The methods that ``--methods`` names, or else the default ones.

    Raises:
        UserError: a name is unknown.

    Example:
        >>> known = ["a", "b, or c", "d"]
        >>> methods_of("a; b, or c", known, ["d"]), methods_of(None, known, ["d"])
        (['a', 'b, or c'], ['d'])
    """
    known = list(known)
    names = [name.strip() for name in given.split(";")] if given else list(default)
    for name in names:
        if name not in known:
            raise UserError(f"--methods {name}: expected some of {'; '.join(known)}")
    return names


def processes_of(given: int | None) -> int:
    """As many as ``--processes`` says, or else one for each core that this process may use."""
    return given or len(os.sched_getaffinity(0))


def usable(paths: Sequence[Path], take: Callable[[Path], T]) -> list[T]:
    """What ``take`` makes of each data set; of several, those it refuses are named and left out.

    Raises:
        UserError: the only one is refused, or all of several.
    """
    taken, refused = [], []
    for path in paths:
        try:
            taken.append(take(path))
        except UserError as error:
            if len(paths) == 1:
                raise
            refused.append(f"left out: {error}")
    tell(*refused)
    if not taken:
        raise UserError(f"{paths[0].parent}: none of its {len(paths)} data sets can be compared on")
    return taken
