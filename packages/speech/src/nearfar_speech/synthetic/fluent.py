"""A folder as Fluent Speech Commands', its 31 intents said in phrases of our own."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from nearfar_kit.errors import UserError
from nearfar_speech.audio import RATE
from nearfar_speech.synthetic.espeak import Voice, draw_voices, speak
from nearfar_speech.synthetic.folder import new_folder

__all__ = ["INTENTS", "make_fsc", "phrases_of"]

_COLUMNS = ("path", "speakerId", "transcription", "action", "object", "location")
_ROOMS = ("none", "kitchen", "bedroom", "washroom")
_SWITCHED = [("lamp", "none"), *(("lights", room) for room in _ROOMS), ("music", "none")]
_TURNED = [*(("heat", room) for room in _ROOMS), ("volume", "none")]
INTENTS: tuple[tuple[str, str, str], ...] = (
    *(("activate", *rest) for rest in _SWITCHED),
    *(("deactivate", *rest) for rest in _SWITCHED),
    *(("increase", *rest) for rest in _TURNED),
    *(("decrease", *rest) for rest in _TURNED),
    *(("bring", thing, "none") for thing in ("newspaper", "juice", "socks", "shoes")),
    *(("change language", tongue, "none")
      for tongue in ("none", "Chinese", "English", "German", "Korean")),
)  # fmt: skip
_PHRASES = {
    "activate": ("turn on the {0}", "switch the {0} on", "{0} on, please", "I want the {0} on"),
    "deactivate": ("turn off the {0}", "switch the {0} off", "{0} off, please", "no more {0} now"),
    "increase": ("turn up the {0}", "more {0}, please", "increase the {0}", "the {0} is too low"),
    "decrease": ("turn down the {0}", "less {0}, please", "decrease the {0}",
                 "the {0} is too high"),
    "bring": ("bring me the {0}", "I need the {0}", "go and get the {0}", "fetch my {0}"),
    "change language": ("set the language to {0}", "switch to {0}", "let us speak {0}",
                        "use {0} from now on"),
}  # fmt: skip


def phrases_of(action: str, thing: str, location: str) -> tuple[str, ...]:
    """Four ways to say an intent."""
    if (action, thing) == ("change language", "none"):
        thing = "another language"
    where = "" if location == "none" else f" in the {location}"
    return tuple(phrase.format(thing) + where for phrase in _PHRASES[action])


def make_fsc(
    folder: Path, speakers: tuple[int, int, int] = (6, 2, 2), phrases: int = 1, seed: int = 0
) -> Path:
    """Writes ``wavs/`` and ``data/*.csv``; 10 speakers and 310 clips take some seconds.

    Args:
        folder: a new or an empty one.
        speakers: of training, validation and test, all different.
        phrases: 1 to 4, of each intent by each speaker, drawn at random.

    Raises:
        UserError: the folder holds something, a number is out of bounds, no eSpeak NG.
    """
    if not 1 <= phrases <= 4:
        raise UserError(f"{phrases} phrases of each intent; expected 1 to 4")
    if min(speakers) < 0:
        raise UserError(f"speakers are {speakers}; expected three numbers of 0 or more")
    voices = iter(draw_voices(sum(speakers), seed))
    rng = np.random.default_rng([seed, 1])
    with new_folder(folder) as new:
        (new / "data").mkdir()
        speaker = 0
        for split, count in zip(("train", "valid", "test"), speakers, strict=True):
            rows: list[dict[str, object]] = []
            for _ in range(count):
                rows += _spoken(new, f"espeak{speaker:02}", next(voices), phrases, rng)
                speaker += 1
            with (new / "data" / f"{split}_data.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, ["", *_COLUMNS])
                writer.writeheader()
                writer.writerows({"": i} | row for i, row in enumerate(rows))
    return folder


def _spoken(
    folder: Path, speaker: str, voice: Voice, phrases: int, rng: np.random.Generator
) -> Iterator[dict[str, object]]:
    (folder / "wavs" / "speakers" / speaker).mkdir(parents=True)
    for number, intent in enumerate(INTENTS):
        for choice in sorted(rng.choice(4, phrases, replace=False)):
            sentence = phrases_of(*intent)[choice]
            place = f"wavs/speakers/{speaker}/{number:02}_{choice}.wav"
            soundfile.write(folder / place, speak(sentence, voice.varied(rng)), RATE)
            yield dict(zip(_COLUMNS, (place, speaker, sentence, *intent), strict=True))
