"""Readers: a data set's folder or file to clips, its layout found by its look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_kit.layouts import Layout, layout_of
from nearfar_speech.clip import ClipSet
from nearfar_speech.readers.barista import is_barista, read_barista
from nearfar_speech.readers.check import Check, checked
from nearfar_speech.readers.fsc import is_fsc, read_fsc
from nearfar_speech.readers.fsdd import is_fsdd, read_fsdd
from nearfar_speech.readers.manifest import files_of_rows, is_manifest, read_manifest
from nearfar_speech.readers.slurp import is_slurp, read_slurp

__all__ = ["LAYOUTS", "files_of_rows", "find_clips"]

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
    fits = any(known.fits(path) for known in LAYOUTS.values())
    if layout is None and not fits and (files := files_of_rows(path)):
        others = f" or another of its {len(files)}" if len(files) > 1 else ""
        raise UserError(
            f"{path}: no known layout, nor a file named train, valid, test or manifest; expected "
            f"one file, such as {files[0]}{others}"
        )
    found = layout_of(LAYOUTS, path, layout, options, expected="a data set of clips")
    if layout is not None and not found.fits(path):
        raise UserError(f"{path}: is no {layout}; looked for {found.looked_for}")
    return checked(found.reader(path, **options), path, check, max_seconds)
