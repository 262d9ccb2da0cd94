"""A look at every clip's audio and text: what cannot be used is left out and named."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from nearfar_kit.errors import UserError
from nearfar_speech.audio import AudioFault, inspect_audio
from nearfar_speech.clip import Clip, ClipSet, Fault

__all__ = ["Check", "checked"]

Check = Literal["header", "decode", "none"]


def checked(found: ClipSet, path: Path, check: Check, max_seconds: float | None) -> ClipSet:
    """The set with its unusable clips left out and all faults named.

    Raises:
        UserError: no clip is usable, or a setting is out of bounds.
    """
    if check not in ("header", "decode", "none"):
        raise UserError(f"check is {check!r}; expected header, decode or none")
    if max_seconds is not None and not max_seconds > 0:
        raise UserError(f"max_seconds is {max_seconds}; expected more than 0")
    usable, faults = [], list(found.faults)
    for clip in found.clips:
        seconds, own = _look(clip, check, max_seconds)
        faults += own
        if not any(fault.drops for fault in own):
            usable.append(replace(clip, seconds=seconds))
    if not usable:
        raise UserError(f"{path}: {_nothing(found, faults)}")
    return ClipSet(found.name, tuple(usable), tuple(faults), found.missing)


def _look(clip: Clip, check: Check, max_seconds: float | None) -> tuple[float, list[Fault]]:
    """A clip's length in seconds, where known, and its faults."""
    seconds, faults = clip.seconds, []
    if check != "none":
        try:
            seconds, clipped = inspect_audio(clip.path, max_seconds, decode=check == "decode")
            if clipped:
                detail = "more than a thousandth of its samples are cut at full scale"
                faults.append(Fault("clipped", clip.path, detail))
        except AudioFault as fault:
            faults.append(Fault(fault.kind, clip.path, fault.detail))
    elif max_seconds is not None and seconds > max_seconds:  # NaN is not
        detail = f"lasts {seconds:.1f} s by its row; expected at most {max_seconds:g} s"
        faults.append(Fault("too long", clip.path, detail))
    if not clip.transcript:
        faults.append(Fault("no transcript", clip.path, "its transcript is empty"))
    return seconds if math.isfinite(seconds) else math.nan, faults


def _nothing(found: ClipSet, faults: list[Fault]) -> str:
    return "no usable clip; " + "; ".join(_reasons(found, faults))


def _reasons(found: ClipSet, faults: list[Fault]) -> Iterator[str]:
    if found.missing:
        yield f"the folder lacks {', '.join(found.missing)}"
    dropped = [fault for fault in faults if fault.drops]
    for kind in dict.fromkeys(fault.kind for fault in dropped):
        own = [fault for fault in dropped if fault.kind == kind]
        yield f"{kind}: {len(own)} (the first is {own[0].path}: {own[0].detail})"
    if not found.clips:
        yield "there is no row of labels"
