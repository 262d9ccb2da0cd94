"""Training, validation and test clips where a data set has no splits, or has to be split anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from nearfar_kit.errors import UserError
from nearfar_speech.clip import Clip

__all__ = ["leave_speakers_out", "split_by_share"]


def split_by_share(
    clips: Sequence[Clip], valid: float = 0.15, test: float = 0.25, seed: int = 0
) -> tuple[Clip, ...]:
    """Shares of each intent's clips drawn at random, at least one clip where the share is not 0.

    An intent's draw depends on its own clips and the seed alone. The same speaker can be in all
    splits: where speakers are known, :func:`leave_speakers_out` is the honest test.

    Raises:
        UserError: shares leave no training clip of an intent, or are not within 0 to 1.
    """
    if not (valid >= 0 and test >= 0 and valid + test < 1):
        raise UserError(f"shares are {valid} and {test}; expected 0 or more, below 1 together")
    given: dict[int, str] = {}
    for intent in dict.fromkeys(clip.intent for clip in clips):
        rows = [i for i, clip in enumerate(clips) if clip.intent == intent]
        tested, held = (max(1, round(s * len(rows))) if s else 0 for s in (test, valid))
        if tested + held >= len(rows):
            raise UserError(f"intent {intent!r} has {len(rows)} clips; too few to split in three")
        order = np.random.default_rng([seed, crc32(intent.encode())]).permutation(rows).tolist()
        given |= dict.fromkeys(order[:tested], "test")
        given |= dict.fromkeys(order[tested : tested + held], "valid")
    return tuple(replace(clip, split=given.get(i, "train")) for i, clip in enumerate(clips))


def leave_speakers_out(
    clips: Sequence[Clip], test: Sequence[str], valid: Sequence[str] = ()
) -> tuple[Clip, ...]:
    """All clips of the speakers named as test or validation clips, all others to train on.

    Raises:
        UserError: a clip has no speaker, a name is not among them or in both lists, or none is
            left to train on.
    """
    speakers = {clip.speaker for clip in clips}
    if nameless := [clip for clip in clips if not clip.speaker]:
        raise UserError(
            f"{len(nameless)} of {len(clips)} clips have no speaker, the first is "
            f"{nameless[0].path}; expected one for each, to leave some out"
        )
    for name in (*test, *valid):
        if name not in speakers:
            raise UserError(f"speaker {name!r}: not among {', '.join(sorted(speakers))}")
    if both := set(test) & set(valid):
        raise UserError(f"speaker {min(both)!r} is to test and to validate; expected one of them")
    if not speakers - {*test, *valid}:
        raise UserError("all speakers are left out; expected some to train on")
    given = dict.fromkeys(valid, "valid") | dict.fromkeys(test, "test")
    return tuple(replace(clip, split=given.get(clip.speaker, "train")) for clip in clips)
