"""Sentences spoken by eSpeak NG, the same samples for the same words and voice at every call."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_speech.audio import RATE, resample

__all__ = ["ACCENTS", "TIMBRES", "Voice", "draw_voices", "speak"]

ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd",
           "en-us-nyc", "en-029")  # fmt: skip
TIMBRES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")

# Of speak_lib.h.
_RETRIEVE, _UTF8, _AT_CHARACTER = 2, 1, 1
_WORDS_A_MINUTE, _PITCH = 1, 3
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Voice:
    """A speaker: an accent and a timbre of eSpeak NG, such as ``en-gb-scotland+m4``; words a minute
    (80 to 450) and pitch (0 to 99)."""

    name: str
    rate: int = 175
    pitch: int = 50

    def varied(self, rng: np.random.Generator) -> Voice:
        """The same speaker at another moment: a little faster or slower, higher or lower."""
        rate = round(self.rate * rng.uniform(0.9, 1.1))
        return replace(self, rate=rate, pitch=int(np.clip(self.pitch + rng.integers(-5, 6), 0, 99)))


def draw_voices(count: int, seed: int = 0) -> tuple[Voice, ...]:
    """Speakers of different accents and timbres, each with a rate and a pitch of its own.

    Raises:
        UserError: more than there are of different ones.
    """
    names = [f"{accent}+{timbre}" for accent in ACCENTS for timbre in TIMBRES]
    if not 0 < count <= len(names):
        raise UserError(f"{count} voices; expected 1 to {len(names)}")
    rng = np.random.default_rng(seed)
    chosen = rng.choice(names, count, replace=False).tolist()
    return tuple(
        Voice(name, int(rng.integers(140, 201)), int(rng.integers(35, 66))) for name in chosen
    )


def speak(text: str, voice: Voice) -> NDArray[np.float32]:
    """Samples [T] at 16 kHz, within -1 to 1.

    Raises:
        UserError: eSpeak NG is not installed or has no such voice, or nothing is to be said.
    """
    parts: list[NDArray[np.int16]] = []

    def receive(samples: Any, count: int, _: Any) -> int:
        if samples and count:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _CALLBACK(receive)  # held by a name while the library holds its address
    with _synthesiser() as (library, rate):
        library.espeak_SetSynthCallback(callback)
        # A name of no timbre is taken for the accent alone, without a word.
        known = voice.name.rpartition("+")[2] in TIMBRES
        if not known or library.espeak_SetVoiceByName(voice.name.encode()):
            expected = f"one of {', '.join(ACCENTS)}, a plus and one of {', '.join(TIMBRES)}"
            raise UserError(f"voice {voice.name!r} is unknown to eSpeak NG; expected {expected}")
        library.espeak_SetParameter(_WORDS_A_MINUTE, voice.rate, 0)
        library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        said = text.encode() + b"\0"
        library.espeak_Synth(said, ctypes.c_size_t(len(said)), 0, _AT_CHARACTER, 0, _UTF8, None,
                             None)  # fmt: skip
        library.espeak_Synchronize()
    if not any(part.any() for part in parts):
        raise UserError(f"{text!r}: eSpeak NG says nothing; expected words")
    samples = np.concatenate(parts).astype(np.float32) / np.float32(32768)
    return resample(samples, rate, RATE)


@contextmanager
def _synthesiser() -> Iterator[tuple[Any, int]]:
    """The library as it is when just loaded, and its rate in Hz.

    What was said before sounds on in its static variables (phases, flutter, breath), which neither
    a seed nor its own termination sets back: so it is loaded for each sentence, some 4 ms.
    """
    try:
        import espeakng_loader
    except ModuleNotFoundError:
        told = "synthetic speech needs eSpeak NG: pip install 'nearfar-speech[synthesis]'"
        raise UserError(told) from None
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        folder = espeakng_loader.get_data_path().encode()
        rate = library.espeak_Initialize(_RETRIEVE, 0, folder, 0)
        if rate <= 0:
            raise UserError(f"eSpeak NG does not start with its data at {folder.decode()}")
        library.espeak_ng_SetRandSeed(ctypes.c_long(0))
        yield library, rate
        library.espeak_Terminate()
    finally:
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))
