"""Free Spoken Digit Dataset: the label is in the name, ``7_jackson_32.wav``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from nearfar_speech.clip import Clip, ClipSet

__all__ = ["is_fsdd", "read_fsdd"]

_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.(?:wav|flac)")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEST = 5  # indices below are the customary test split, where there are others


def _folder(path: Path) -> Path:
    return path / "recordings" if (path / "recordings").is_dir() else path


def is_fsdd(path: Path) -> bool:
    return path.is_dir() and any(_NAME.fullmatch(file.name) for file in _folder(path).iterdir())


def read_fsdd(path: Path) -> ClipSet:
    """Clips whose intent and transcript are the digit's word; indices 0 to 4 are the test split.

    Where all clips lie on one side of that, as some that were recorded later do, their numbers name
    no split.
    """
    clips = []
    for file in sorted(_folder(path).iterdir()):
        name = _NAME.fullmatch(file.name)
        if name:
            word = _WORDS[int(name[1])]
            split = "test" if int(name[3]) < _TEST else "train"
            clips.append(Clip(file, word, (), word, name[2], split))
    if len({clip.split for clip in clips}) < 2:
        clips = [replace(clip, split="") for clip in clips]
    return ClipSet("fsdd", tuple(clips))
