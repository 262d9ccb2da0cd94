"""Fluent Speech Commands (Lugosch et al. 2019, 1904.03670), as its archive unpacks."""

from __future__ import annotations

from pathlib import Path

from nearfar_kit.paths import inside
from nearfar_speech.clip import Clip, ClipSet
from nearfar_speech.readers.rows import csv_rows, text_of
from nearfar_speech.readers.semantics import intent_word

__all__ = ["is_fsc", "read_fsc"]

_SPLITS = ("train", "valid", "test")
_COLUMNS = ("path", "speakerId", "transcription", "action", "object", "location")


def _labels(root: Path, split: str) -> Path:
    return root / "data" / f"{split}_data.csv"


def is_fsc(path: Path) -> bool:
    return any(_labels(path, split).is_file() for split in _SPLITS)


def read_fsc(path: Path) -> ClipSet:
    """Clips whose intent is ``action_object_location``, 31 in all, whose scenario is the action.

    The intent tells the three slots already, so none is given beside it. ``none`` is a part of the
    name as any other. Splits whose CSV is not there are named in ``missing``.

    Raises:
        UserError: a CSV without its columns, a row without path or action, a path that leads out.
    """
    clips = []
    for split in _SPLITS:
        labels = _labels(path, split)
        for where, row in csv_rows(labels, _COLUMNS) if labels.is_file() else ():
            parts = [text_of(row, name, where) for name in ("action", "object", "location")]
            clips.append(
                Clip(
                    inside(path, text_of(row, "path", where), where),
                    intent_word(*parts),
                    (),
                    text_of(row, "transcription", where, needed=False),
                    text_of(row, "speakerId", where, needed=False),
                    split,
                    intent_word(parts[0]),
                )
            )
    missing = [f"data/{split}_data.csv" for split in _SPLITS if not _labels(path, split).is_file()]
    if not (path / "wavs").is_dir():
        missing.append("wavs/")
    return ClipSet("fsc", tuple(clips), missing=tuple(missing))
