"""Readers: a data set's folder or file to clips, its layout found by its look."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_speech.clip import ClipSet
from nearfar_speech.readers.barista import is_barista, read_barista
from nearfar_speech.readers.check import Check, checked
from nearfar_speech.readers.fsc import is_fsc, read_fsc
from nearfar_speech.readers.fsdd import is_fsdd, read_fsdd
from nearfar_speech.readers.manifest import is_manifest, read_manifest
from nearfar_speech.readers.slurp import is_slurp, read_slurp

__all__ = ["LAYOUTS", "Layout", "find_clips", "find_layout"]


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk: what shows it, and who reads it."""

    looked_for: str
    fits: Callable[[Path], bool]
    reader: Callable[..., ClipSet]


LAYOUTS = {
    "fsc": Layout("data/train_data.csv beside wavs/", is_fsc, read_fsc),
    "slurp": Layout("devel.jsonl beside slurp_real/", is_slurp, read_slurp),
    "barista": Layout("label.json beside clean/", is_barista, read_barista),
    "fsdd": Layout("recordings/7_jackson_32.wav", is_fsdd, read_fsdd),
    "manifest": Layout(
        "a .json or .csv, or train, valid, test of them", is_manifest, read_manifest
    ),
}


def find_clips(
    path: Path | str,
    layout: str | None = None,
    *,
    max_seconds: float | None = None,
    check: Check = "header",
    **options: Any,
) -> ClipSet:
    """The clips of a data set in any known layout, with every fault counted and named.

    Args:
        layout: a name of ``LAYOUTS``; None: the first that fits what lies at ``path``.
        max_seconds: longer clips are left out, and named.
        check: what is looked at of each clip's audio: its ``header``, every sample (``decode``,
            which alone shows damage and clipping), or ``none``.
        options: the reader's own.

    Raises:
        UserError: no layout fits, or not the one named; an unknown layout or option; a fault in the
            labels; no clip is usable, with the first faults and what the folder lacks.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; expected a data set of clips")
    if layout is None:
        layout = find_layout(path)
    elif layout not in LAYOUTS:
        raise UserError(f"layout {layout!r} is unknown; expected one of {', '.join(LAYOUTS)}")
    reader = LAYOUTS[layout].reader
    known = list(inspect.signature(reader).parameters)[1:]
    for name in options:
        if name not in known:
            told = f"expected some of {', '.join(known)}" if known else "it has none"
            raise UserError(f"{layout} has no option {name!r}; {told}")
    if not LAYOUTS[layout].fits(path):
        raise UserError(f"{path}: is no {layout}; looked for {LAYOUTS[layout].looked_for}")
    return checked(reader(path, **options), path, check, max_seconds)


def find_layout(path: Path) -> str:
    """The name of the layout at ``path``; UserError, with what was looked for, where none fits."""
    for name, layout in LAYOUTS.items():
        if layout.fits(path):
            return name
    looked_for = "; ".join(f"{name}: {layout.looked_for}" for name, layout in LAYOUTS.items())
    raise UserError(f"{path}: no known layout; looked for {looked_for}")
