"""A folder as SLURP's: its own sentences and entities, spoken by a synthesiser."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import soundfile

from nearfar_kit.errors import UserError
from nearfar_speech.audio import RATE
from nearfar_speech.readers.rows import json_lines, text_of
from nearfar_speech.readers.semantics import intent_word
from nearfar_speech.synthetic.espeak import Voice, draw_voices, speak
from nearfar_speech.synthetic.folder import new_folder

__all__ = ["make_slurp"]

_FILES = ("train", "devel", "test")
_NEEDED = ("scenario", "action", "sentence", "slurp_id")


def make_slurp(
    folder: Path,
    annotations: Path,
    *,
    sentences: int | None = None,
    scenarios: Iterable[str] | None = None,
    shares: tuple[float, float] = (0.15, 0.25),
    speakers: tuple[int, int, int] = (24, 8, 8),
    seed: int = 0,
) -> Path:
    """Writes ``train.jsonl``, ``devel.jsonl``, ``test.jsonl`` and ``slurp_real/``, one recording a
    sentence; 100 sentences take some two seconds.

    Sentences keep tokens, entities, scenario and action as annotated. No sentence and no speaker is
    in two splits. An intent's sentences are drawn by the seed and the intent alone.

    Args:
        folder: a new or an empty one.
        annotations: a file of SLURP's, say ``devel.jsonl``.
        sentences: at most so many of each intent; None: all.
        scenarios: of these alone; None: all.
        shares: of each intent's sentences, to validate and to test on.
        speakers: of training, validation and test, all different.

    Raises:
        UserError: the folder holds something, a line is no annotation, no sentence is left, a
            number is out of bounds, no eSpeak NG.
    """
    valid, test = shares
    if not (valid >= 0 and test >= 0 and valid + test < 1):
        raise UserError(f"shares are {valid} and {test}; expected 0 or more, below 1 together")
    if min(speakers) < 1:
        raise UserError(f"speakers are {speakers}; expected three numbers of 1 or more")
    wanted = None if scenarios is None else set(scenarios)
    by_intent: dict[str, list[dict[str, Any]]] = {}
    for where, row in json_lines(annotations):
        scenario, action, *_ = (text_of(row, name, where) for name in _NEEDED)
        if wanted is None or scenario in wanted:
            by_intent.setdefault(intent_word(scenario, action), []).append(row)
    if not by_intent:
        raise UserError(f"{annotations}: no sentence of {sorted(wanted or ())}; expected some")
    parts: dict[str, list[dict[str, Any]]] = {name: [] for name in _FILES}
    for intent, rows in by_intent.items():
        rng = np.random.default_rng([seed, crc32(intent.encode())])
        drawn = [rows[i] for i in rng.permutation(len(rows))[:sentences]]
        ends = round(test * len(drawn)), round((test + valid) * len(drawn))
        parts["test"] += drawn[: ends[0]]
        parts["devel"] += drawn[ends[0] : ends[1]]
        parts["train"] += drawn[ends[1] :]
    first = np.cumsum([0, *speakers])
    voices = draw_voices(int(first[-1]), seed)
    with new_folder(folder) as new:
        (new / "slurp_real").mkdir()
        for i, name in enumerate(_FILES):
            own = [(f"espeak{n:02}", voices[n]) for n in range(first[i], first[i + 1])]
            lines = _recorded(new / "slurp_real", parts[name], own, seed)
            text = "".join(f"{json.dumps(row)}\n" for row in lines)
            (new / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


def _recorded(
    folder: Path, rows: Sequence[dict[str, Any]], speakers: Sequence[tuple[str, Voice]], seed: int
) -> list[dict[str, Any]]:
    """The rows with a recording of each, by the speakers in turn."""
    made = []
    for i, row in enumerate(rows):
        speaker, voice = speakers[i % len(speakers)]
        rng = np.random.default_rng([seed, crc32(str(row["slurp_id"]).encode())])
        name = f"audio-espeak-{row['slurp_id']}.flac"
        soundfile.write(folder / name, speak(row["sentence"], voice.varied(rng)), RATE)
        made.append(row | {"recordings": [{"file": name, "usrid": speaker}]})
    return made
