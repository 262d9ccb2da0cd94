"""A trained model on recordings: what they mean, and how right that is where labels are known."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from nearfar_kit.errors import UserError
from nearfar_speech.answers import Answer
from nearfar_speech.audio import AudioFault, inspect_audio
from nearfar_speech.clip import Clip
from nearfar_speech.features import Features
from nearfar_speech.manifests import trained_paths
from nearfar_speech.recognise import Recognised, recognise
from nearfar_speech.targets import Target
from nearfar_speech.tasks import Curriculum
from nearfar_speech.weights import Trained

__all__ = ["answers_on", "audio_files", "heard_before", "json_line", "meanings"]

_SUFFIXES = (".wav", ".flac")


def audio_files(paths: Sequence[Path]) -> tuple[list[Path], list[Path], list[AudioFault]]:
    """The WAV and FLAC files named and those in the folders named, each one checked; which of them
    are clipped; and the faults of those of the folders that cannot be read and are left out.

    Raises:
        UserError: a path is not there, a folder holds no such file, a file named is no audio or
            damaged, or all are.
    """
    files: list[Path] = []
    clipped: list[Path] = []
    faults: list[AudioFault] = []
    for path in paths:
        own = [path]
        if path.is_dir():
            own = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES)
            if not own:
                raise UserError(f"{path}: holds no WAV or FLAC file; expected recordings")
        for file in own:
            try:
                cut = inspect_audio(file, decode=True)[1]
            except AudioFault as fault:
                if file is path:
                    raise
                faults.append(fault)
                continue
            files.append(file)
            clipped += [file] if cut else []
    if not files:
        raise UserError(f"none of {len(faults)} files can be read; the first is {faults[0]}")
    return files, clipped, faults


def meanings(
    trained: Trained, files: Sequence[Path | str], *, quiet: bool = True
) -> list[Recognised]:
    """What each recording means, in the order given."""
    features = Features(trained.model.encoder)
    features.prepare(files, quiet=quiet)
    paths = [str(file) for file in files]
    return recognise(trained.model, trained.tokens, features, paths, trained.settings)


def json_line(found: Recognised, curriculum: Curriculum) -> str:
    """One recording's meaning as JSON.

    Intents are spelt freely: ``known`` tells whether it is one that was taught, and is null where
    the curriculum's classes are scenarios.
    """
    intent = found.meaning.intent
    return json.dumps(
        {
            "path": found.path,
            "intent": intent,
            "known": intent in curriculum.classes if curriculum.by == "intent" else None,
            "slots": [list(slot) for slot in found.meaning.slots],
            "transcript": found.meaning.transcript,
            "score": round(found.score, 4),
        },
        ensure_ascii=False,
    )


def heard_before(run: Path, clips: Sequence[Clip]) -> tuple[int, str]:
    """How many clips the run was trained on, by their paths, and a sentence that tells so."""
    trained = trained_paths(run)
    if trained is None:
        return 0, f"On {len(clips)} clips; the model's folder does not tell what it was trained on."
    count = sum(os.path.realpath(clip.path) in trained for clip in clips)
    if count:
        return count, (
            f"On {len(clips)} clips; {count} of these were trained on, and are no test of it."
        )
    return 0, f"On {len(clips)} clips, none of them, by its path, trained on."


def answers_on(trained: Trained, clips: Sequence[Clip], *, quiet: bool = True) -> list[Answer]:
    """Answers on labelled clips, all counted as of one task.

    Raises:
        UserError: a clip's class was never trained.
    """
    for clip in clips:
        trained.curriculum.task_of(clip)
    found = meanings(trained, [clip.path for clip in clips], quiet=quiet)
    return [
        Answer(answer.path, 0, Target.of(clip).text, answer.text, answer.score)
        for clip, answer in zip(clips, found, strict=True)
    ]
