"""Formant words: made-up words of a simple voice, so that a demo needs no recordings.

A word is three or four sounds, each of two formants; a pulse train of the speaker's pitch goes
through resonators at them, gliding from sound to sound. Speakers differ in pitch, in the length of
the vocal tract (all formants scaled) and in pace, clips in loudness and noise. Nobody ever said
these words, and nobody speaks like this.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import lfilter

from nearfar_kit.atomic import replacing
from nearfar_speech.audio import RATE
from nearfar_speech.clip import Clip, ClipSet

__all__ = ["simulate_clips", "speak", "write_simulated"]

# First and second formant of a sound in Hz.
_SOUNDS = {
    "a": (800.0, 1200.0), "e": (480.0, 1950.0), "i": (290.0, 2300.0), "o": (500.0, 850.0),
    "u": (310.0, 720.0), "y": (320.0, 1700.0),
}  # fmt: skip
# The spelling of a word tells its sounds.
INTENTS = {
    "open": "aio", "close": "uea", "brighter": "iya", "darker": "oue", "louder": "eau",
    "quieter": "yoi",
}  # fmt: skip
ROOMS = {"kitchen": "ieo", "bathroom": "aua", "attic": "uyi"}
_THIRD = 2600.0  # the third formant, of all sounds
_BLOCK = 80  # samples of one setting of the resonators


def simulate_clips(folder: Path, speakers: int = 8, repetitions: int = 1, seed: int = 0) -> ClipSet:
    """Writes WAV files: each speaker says each intent with each room, so many times.

    A quarter of the speakers are test speakers, one is for validation. The same seed writes the
    same files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for speaker in range(speakers):
        rng = np.random.default_rng([seed, speaker])
        pitch, tract, pace = rng.uniform(90, 230), rng.uniform(0.88, 1.14), rng.uniform(0.85, 1.2)
        split = "test" if speaker % 4 == 3 else "valid" if speaker == 0 else "train"
        for intent, first in INTENTS.items():
            for room, second in ROOMS.items():
                for repetition in range(repetitions):
                    words = f"{first} {second}"
                    path = folder / f"{intent}_{room}_speaker{speaker}_{repetition}.wav"
                    samples = speak(words, pitch, tract, pace, rng)
                    with replacing(path) as beside, beside.open("wb") as file:
                        soundfile.write(file, samples, RATE, format="WAV", subtype="PCM_16")
                    clips.append(
                        Clip(path, intent, (("room", room),), words, f"speaker{speaker}", split,
                             seconds=len(samples) / RATE)
                    )  # fmt: skip
    return ClipSet("formant-words", tuple(clips))


def speak(
    words: str, pitch: float, tract: float, pace: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Samples [L] of words of the letters aeiouy.

    Args:
        pitch: Hz.
        tract: all formants are divided by it.
        pace: of speech; a sound of pace 1 takes about 0.11 s.

    Example:
        >>> len(speak("aio", 120.0, 1.0, 1.0, np.random.default_rng(0))) > 4000
        True
    """
    parts = []
    for word in words.split():
        points = np.array([_SOUNDS[letter] for letter in word])  # sounds x 2
        length = int(RATE * 0.11 * len(word) / pace * rng.uniform(0.9, 1.1))
        at = np.linspace(0, len(word) - 1, max(1, length // _BLOCK))
        tracks = [np.interp(at, range(len(word)), column) for column in points.T]
        formants = np.stack([*tracks, np.full(len(at), _THIRD)], axis=1) / tract
        formants *= rng.normal(1, 0.03, size=(1, 3))
        voice = _pulses(len(at) * _BLOCK, pitch * rng.uniform(0.95, 1.05), rng)
        parts += [_resonated(voice, formants), np.zeros(int(RATE * 0.06))]
    wave = np.concatenate(parts)
    wave = wave / np.abs(wave).max() * rng.uniform(0.2, 0.6)
    noisy: NDArray[np.float32] = (wave + rng.normal(0, 0.004, len(wave))).astype(np.float32)
    return noisy


def _pulses(length: int, pitch: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A falling pulse train with a little breath."""
    phase = np.cumsum(np.linspace(1.05, 0.92, length) * pitch / RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0)
    return pulses + rng.normal(0, 0.01, length)


def _resonated(voice: NDArray[np.float64], formants: NDArray[np.float64]) -> NDArray[np.float64]:
    """The voice through three resonators in a row, set anew for each block."""
    for column, width in zip(formants.T, (70.0, 100.0, 150.0), strict=True):
        radius = np.exp(-np.pi * width / RATE)
        state, out = np.zeros(2), []
        for block, hertz in zip(voice.reshape(-1, _BLOCK), column, strict=True):
            poles = [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2]
            made, state = lfilter([1 - radius], poles, block, zi=state)
            out.append(made)
        voice = np.concatenate(out)
    return voice


def write_simulated(folder: Path, *, seed: int = 0) -> None:
    """``manifest.csv`` beside ``wavs/``: eight speakers, six intents, three rooms."""
    found = simulate_clips(folder / "wavs", seed=seed)
    rows = [
        {
            "path": str(clip.path.relative_to(folder)), "intent": clip.intent,
            "slots": "|".join(f"{name}={value}" for name, value in clip.slots),
            "transcript": clip.transcript, "speaker": clip.speaker, "split": clip.split,
        }
        for clip in found.clips
    ]  # fmt: skip
    with (
        replacing(folder / "manifest.csv") as beside,
        beside.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
