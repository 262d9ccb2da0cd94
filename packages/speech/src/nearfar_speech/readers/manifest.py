"""A user's own manifest: JSON in SpeechBrain's form or as a list, or CSV; a file or three."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_kit.json_files import read_json
from nearfar_kit.layouts import set_name
from nearfar_kit.paths import inside
from nearfar_speech.clip import Clip, ClipSet
from nearfar_speech.readers.rows import Row, csv_rows, text_of
from nearfar_speech.readers.semantics import Meaning, intent_word, parse_semantics, parse_slots

__all__ = ["files_of_rows", "is_manifest", "read_manifest"]

_SPLITS = {
    "train": "train", "valid": "valid", "dev": "valid", "devel": "valid", "validation": "valid",
    "val": "valid", "test": "test",
}  # fmt: skip
_NAMES = {
    "path": ("path", "wav", "audio", "file"),
    "intent": ("intent",),
    "slots": ("slots", "entities"),
    "transcript": ("transcript", "transcription", "words", "text"),
    "speaker": ("speaker", "spk_id", "speakerId", "speaker_id"),
    "scenario": ("scenario",),
    "split": ("split",),
    "semantics": ("semantics",),
    "duration": ("duration",),
}
_SUFFIXES = (".csv", ".json")
_ROOTS = ("{data_root}", "$data_root")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() in _SUFFIXES else []
    for stems in (_SPLITS, ("manifest",)):
        files = [path / f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
        if found := [file for file in files if file.is_file()]:
            return found
    return []


def files_of_rows(folder: Path) -> list[Path]:
    """Those that may be manifests by their suffix, whatever their names."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)


def is_manifest(path: Path) -> bool:
    return bool(_files(path))


def read_manifest(path: Path, data_root: Path | str | None = None) -> ClipSet:
    """Clips of a manifest, or of a folder's train, valid and test manifests.

    Paths are relative to ``data_root``, which ``{data_root}`` and ``$data_root`` in them stand for
    too. No path, absolute or not, may lead out of it: rows come from anywhere, and what may be read
    is for the caller to say. ``data_root="/"`` allows all.

    The split is the column ``split``, else the file's name where that is one; the intent is the
    column ``intent``, else what ``semantics`` tell.

    Args:
        data_root: None: the manifest's folder.

    Raises:
        UserError: no path or intent, nor a column of it, a path that leads out, two names for one
            field, two rows of one file, slots or semantics of no known form, a split of another
            name.
    """
    root = Path(data_root) if data_root is not None else (path if path.is_dir() else path.parent)
    if not root.is_dir():
        raise UserError(f"data_root is {root}: no such folder; expected the one that holds audio")
    files = _files(path)
    seen: dict[Path, str] = {}
    clips = []
    for file in files:
        for where, row in _rows(file):
            clip = _clip(row, where, root, _SPLITS.get(file.stem.lower(), ""))
            if clip.path in seen:
                raise UserError(f"{where}: {clip.path} is named in {seen[clip.path]} already")
            seen[clip.path] = where
            clips.append(clip)
    missing = []
    if path.is_dir() and files[0].stem in _SPLITS:
        there = {clip.split for clip in clips}
        missing = [f"{split}.csv or {split}.json" for split in ("train", "valid", "test")
                   if split not in there]  # fmt: skip
    return ClipSet(set_name(path), tuple(clips), missing=tuple(missing))


def _rows(file: Path) -> Iterator[Row]:
    if file.suffix.lower() == ".csv":
        for number, (where, row) in enumerate(csv_rows(file)):
            if not number:
                _check_columns(row, str(file))  # a header's mistake is of no row
            yield where, row
        return
    content = read_json(file)
    if isinstance(content, dict):
        items = [(f"{file}, {name}", row) for name, row in content.items()]
    elif isinstance(content, list):
        items = [(f"{file}, item {number}", row) for number, row in enumerate(content, start=1)]
    else:
        raise UserError(
            f"{file}: holds a {type(content).__name__}; expected rows by name or a list"
        )
    for where, row in items:
        if not isinstance(row, dict):
            raise UserError(f"{where}: is a {type(row).__name__}; expected an object")
        _check_columns(row, where)
        yield where, row


def _check_columns(row: dict[str, Any], where: str) -> None:
    """That there is what each row needs."""
    for needed in (("path",), ("intent", "semantics")):
        names = [column for name in needed for column in _NAMES[name]]
        if not row.keys() & set(names):
            raise UserError(
                f"{where}: no column {needed[0]}; found {', '.join(map(str, row))}; expected "
                f"{' or '.join(names)}"
            )


def _clip(row: dict[str, Any], where: str, root: Path, split: str) -> Clip:
    ours = {}
    for name, theirs in _NAMES.items():
        found = [column for column in theirs if column in row]
        if len(found) > 1:
            raise UserError(f"{where}: both {' and '.join(found)}; expected one for the {name}")
        if found:
            ours[name] = row[found[0]]
    place = text_of(ours, "path", where)
    for mark in _ROOTS:
        place = place.replace(mark, ".", 1) if place.startswith(mark) else place
    meaning = parse_semantics(ours["semantics"], where) if ours.get("semantics") else Meaning()
    intent = intent_word(text_of(ours, "intent", where, needed=False)) or meaning.intent
    if not intent:
        raise UserError(f"{where}: no intent, nor one in semantics; expected a class")
    own = text_of(ours, "split", where, needed=False).lower()
    if own and own not in _SPLITS:
        raise UserError(f"{where}: split is {own!r}; expected train, valid or test")
    return Clip(
        inside(root, place, where, hint=", or a data_root that holds it"),
        intent,
        parse_slots(ours.get("slots"), where) or meaning.slots,
        text_of(ours, "transcript", where, needed=False),
        text_of(ours, "speaker", where, needed=False),
        _SPLITS[own] if own else split,
        intent_word(text_of(ours, "scenario", where, needed=False)) or meaning.scenario,
        _seconds(ours, where),
    )


def _seconds(ours: dict[str, Any], where: str) -> float:
    text = text_of(ours, "duration", where, needed=False)
    try:
        return float(text) if text else float("nan")
    except ValueError:
        raise UserError(f"{where}: duration is {text!r}; expected seconds") from None
