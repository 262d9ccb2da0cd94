"""What a run keeps of its data: SpeechBrain's JSON manifests and the order of the tasks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.json_files import read_json
from nearfar_speech.clip import Clip, ClipSet
from nearfar_speech.prepare import Prepared
from nearfar_speech.readers.check import checked
from nearfar_speech.readers.manifest import read_manifest
from nearfar_speech.tasks import Curriculum
from nearfar_speech.tokens import Tokens

__all__ = [
    "DATA", "clips_of_run", "read_prepared", "trained_paths", "write_manifest", "write_prepared",
]  # fmt: skip

DATA = "data"  # the folder of a run that holds its manifests, tokenizer and curriculum
_SPLITS = ("train", "valid", "test")


def write_prepared(folder: Path, prepared: Prepared, dataset: str, seed: int) -> None:
    """A manifest a split, ``curriculum.json`` and ``tokenizer.model``."""
    folder.mkdir(parents=True, exist_ok=True)
    root = _root(prepared.clips)
    for split in _SPLITS:
        own = [clip for clip in prepared.clips if clip.split == split]
        write_manifest(folder / f"{split}.json", own, root)
    prepared.tokens.save(folder / "tokenizer.model")
    content = {
        "dataset": dataset,
        "seed": seed,
        "data_root": str(root),
        "by": prepared.curriculum.by,
        "tasks": prepared.curriculum.tasks,
        "quota": prepared.quota,
        "left_out": prepared.left_out,
    }
    write_atomic(folder / "curriculum.json", json.dumps(content, indent=1) + "\n")


def read_prepared(folder: Path) -> tuple[Prepared, str, int]:
    """What :func:`write_prepared` wrote: with the data set's name and the seed.

    Raises:
        UserError: there is none, or it is damaged.
    """
    file = folder / "curriculum.json"
    content: Any = read_json(file)
    try:
        curriculum = Curriculum(content["by"], tuple(map(tuple, content["tasks"])))
        root, quota = Path(content["data_root"]), int(content["quota"])
        name, seed = str(content["dataset"]), int(content["seed"])
        left_out = int(content["left_out"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: holds no curriculum ({error})") from None
    clips = read_manifest(folder, data_root=root).clips
    tokens = Tokens.load(folder / "tokenizer.model")
    return Prepared(curriculum, clips, tokens, quota, left_out), name, seed


def clips_of_run(run: Path) -> ClipSet:
    """The clips of a run in the splits in which it had them, each looked at.

    Args:
        run: as of :func:`trained_paths`.

    Raises:
        UserError: its manifests are not there or damaged, or no clip is.
    """
    folder = _data_of(run)
    if not folder.is_dir():
        raise UserError(f"--data is absent and {run} keeps no data; expected a folder or file")
    prepared, name, _ = read_prepared(folder)
    return checked(ClipSet(name, prepared.clips), folder, "header", None)


def trained_paths(run: Path) -> frozenset[str] | None:
    """Real paths of a run's training clips; None where its manifests are not there.

    Args:
        run: the run folder, or its ``checkpoint`` folder.

    Raises:
        UserError: a manifest is damaged.
    """
    folder = _data_of(run)
    manifest, file = folder / "train.json", folder / "curriculum.json"
    if not (manifest.is_file() and file.is_file()):
        return None
    content, rows = read_json(file), read_json(manifest)
    try:
        root = content["data_root"]
        return frozenset(
            os.path.realpath(row["wav"].replace("{data_root}", root, 1)) for row in rows.values()
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{manifest}: is no manifest of a run ({error})") from None


def _data_of(run: Path) -> Path:
    """Where a run has its manifests; ``run``: its folder or its ``checkpoint`` folder."""
    return (run if (run / DATA).is_dir() else Path(os.path.abspath(run)).parent) / DATA


def write_manifest(path: Path, clips: Sequence[Clip], root: Path) -> None:
    """SpeechBrain's JSON: ``{id: {"wav": "{data_root}/...", "duration", "spk_id", ...}}``."""
    rows = {}
    for clip in clips:
        place = Path(os.path.abspath(clip.path)).relative_to(root)
        rows[str(place)] = {
            "wav": f"{{data_root}}/{place}",
            "duration": None if clip.seconds != clip.seconds else clip.seconds,
            "spk_id": clip.speaker,
            "scenario": clip.scenario,
            "intent": clip.intent,
            "slots": [list(slot) for slot in clip.slots],
            "transcript": clip.transcript,
        }
    write_atomic(path, json.dumps(rows, indent=1) + "\n")


def _root(clips: Sequence[Clip]) -> Path:
    """The innermost folder that all clips lie in."""
    return Path(os.path.commonpath([os.path.abspath(clip.path.parent) for clip in clips]))
