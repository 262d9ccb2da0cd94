"""SLURP (Bastianelli et al. 2020, 2011.13205): annotations in JSON lines, audio unpacked beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from nearfar_kit.errors import UserError
from nearfar_kit.paths import inside
from nearfar_speech.clip import Clip, ClipSet, Slots
from nearfar_speech.readers.rows import json_lines, text_of
from nearfar_speech.readers.semantics import intent_word

__all__ = ["is_slurp", "read_slurp"]

_FILES = {"train": "train", "train_synthetic": "train", "devel": "valid", "test": "test"}
_LABELS = ("", "dataset/slurp", "slurp")
_AUDIO = ("", "slurp_real", "slurp_synth", "audio/slurp_real", "audio/slurp_synth",
          "scripts/audio/slurp_real", "scripts/audio/slurp_synth")  # fmt: skip


def _files(path: Path) -> dict[str, Path]:
    """The annotation files there are, by their names."""
    if path.is_file():
        return {path.stem: path} if path.suffix == ".jsonl" and path.stem in _FILES else {}
    places = [path / folder for folder in _LABELS]
    found = {}
    for name in _FILES:
        for place in places:
            if (place / f"{name}.jsonl").is_file():
                found[name] = place / f"{name}.jsonl"
                break
    return found


def is_slurp(path: Path) -> bool:
    return bool(_files(path))


def read_slurp(
    path: Path,
    recordings: Literal["all", "headset", "far", "first"] = "all",
    synthetic: bool = True,
) -> ClipSet:
    """A clip for each recording of each sentence.

    The intent is ``scenario_action``; the field ``intent`` of the files names some otherwise.
    A slot's filler is its span's words, in the order of the file.

    Args:
        recordings: of one sentence: all, the headset's, the far microphone's, or the first.
        synthetic: with ``train_synthetic.jsonl``, where it is there.

    Raises:
        UserError: a line that is no such object, a span outside its sentence, a path that leads
            out, or an unknown ``recordings``.
    """
    if recordings not in ("all", "headset", "far", "first"):
        raise UserError(f"recordings is {recordings!r}; expected all, headset, far or first")
    root = path if path.is_dir() else path.parent
    files = _files(path)
    folders = [root / folder for folder in _AUDIO if (root / folder).is_dir()]
    clips = []
    for name, file in files.items():
        if name == "train_synthetic" and not synthetic:
            continue
        for where, row in json_lines(file):
            clips += _clips(row, where, _FILES[name], recordings, root, folders)
    missing = []
    if path.is_dir():
        missing += [f"{name}.jsonl" for name in ("train", "devel", "test") if name not in files]
    if len(folders) == 1:
        missing.append("slurp_real/")
    return ClipSet("slurp", tuple(clips), missing=tuple(missing))


def _clips(
    row: dict[str, Any],
    where: str,
    split: str,
    recordings: str,
    root: Path,
    folders: list[Path],
) -> list[Clip]:
    scenario = intent_word(text_of(row, "scenario", where))
    intent = intent_word(scenario, text_of(row, "action", where))
    sentence = text_of(row, "sentence", where, needed=False)
    slots = _slots(row, where)
    clips = []
    for recording in _objects(row, "recordings", where):
        name = text_of(recording, "file", where)
        headset = Path(name).stem.endswith("-headset")
        if recordings in ("headset", "far") and headset != (recordings == "headset"):
            continue
        speaker = text_of(recording, "usrid", where, needed=False)
        place = _place(name, where, root, folders)
        clips.append(Clip(place, intent, slots, sentence, speaker, split, scenario))
    return clips[:1] if recordings == "first" else clips


def _slots(row: dict[str, Any], where: str) -> Slots:
    words = [text_of(token, "surface", where) for token in _objects(row, "tokens", where)]
    slots = []
    for entity in _objects(row, "entities", where):
        span = entity.get("span")
        if not isinstance(span, list) or not span:
            raise UserError(f"{where}: span is {span!r}; expected a list of word numbers")
        if not all(type(i) is int and 0 <= i < len(words) for i in span):
            raise UserError(f"{where}: span is {span}; expected numbers below {len(words)}")
        slots.append((text_of(entity, "type", where), " ".join(words[i] for i in span)))
    return tuple(slots)


def _objects(row: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    value = row.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UserError(f"{where}: {name} is no list of objects; expected SLURP's annotations")
    return value


def _place(name: str, where: str, root: Path, folders: list[Path]) -> Path:
    """Where the recording lies; where it should, if it is nowhere."""
    places = [inside(folder, name, where) for folder in (*folders, root / "slurp_real")]
    return next((place for place in places if place.is_file()), places[-1])
