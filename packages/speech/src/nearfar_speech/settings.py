"""All settings of nearfar-speech: what is read, in which order it is learnt, what is remembered."""

from __future__ import annotations

from pydantic import Field

from nearfar_kit.settings import Settings
from nearfar_speech.rehearsal import Selection
from nearfar_speech.tasks import By

__all__ = ["SpeechSettings"]


class SpeechSettings(Settings):
    """What the paper does not tell is a default of ours."""

    # Clips. The author's script drops longer audio and longer text than these.
    max_seconds: float = Field(7.0, gt=0)
    max_characters: int = Field(130, ge=1)

    # Tokens.
    vocabulary: int = Field(1000, ge=6)
    dropout: float = Field(0.1, ge=0, lt=1)

    # Tasks: the name of a curriculum of the papers, or as many even tasks as told.
    by: By = "intent"
    splits: str = ""
    tasks: int = Field(5, ge=1)

    # Memory: clips in all, shared evenly among all classes; the paper's is 1% of the training set.
    memory: float = Field(0.01, ge=0)
    selection: Selection = "herding"
