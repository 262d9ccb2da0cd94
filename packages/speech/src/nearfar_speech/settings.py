"""All settings of nearfar-speech: what is read, in which order it is learnt, and how."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from nearfar_kit.settings import Settings
from nearfar_speech.rehearsal import Selection
from nearfar_speech.tasks import By

__all__ = ["PRESETS", "SpeechSettings"]


class SpeechSettings(Settings):
    """COCONUT with a small pre-trained encoder. What the paper does not tell is a default of ours.

    The loss is ``L_ASR + mm L_MM + nspt L_NSPT + scr L_SCR``; a distillation of weight a takes
    1 - a of L_ASR, with a the root of the share of rehearsed clips in the batch.
    """

    # Clips. The author's script drops longer audio and longer text than these.
    max_seconds: float = Field(7.0, gt=0)
    """Clips of longer audio are left out."""
    max_characters: int = Field(130, ge=1)
    """Clips whose intent, slots and transcript are longer, together in the one string that is
    learnt, are left out."""
    clips_per_class: int | None = Field(None, ge=1)
    """Of training; null: all."""

    # Speakers left out of training, where the data set has no splits of its own or others are
    # wanted; without them an unsplit set is split at random.
    test_speakers: tuple[str, ...] = ()
    """Whose clips test, instead of the data set's own split."""
    valid_speakers: tuple[str, ...] = ()
    """Whose clips validate, instead of the data set's own split."""

    # Tokens.
    vocabulary: int = Field(1000, ge=6)
    """Tokens of the tokenizer that is learnt; a run adds 256, one a byte, for words to come."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Chance of each of the tokenizer's merges to be skipped in training."""

    # Tasks: the name of a curriculum of the papers, or as many even tasks as told.
    by: By = "intent"
    """What the classes of a curriculum are."""
    splits: str = ""
    """The name of a curriculum of the papers; else even tasks."""
    tasks: int = Field(5, ge=1)
    """How many even tasks."""
    shuffled: bool = False
    """Whether the order of even tasks' classes is drawn from the seed."""

    # Memory: clips in all, shared evenly among all classes; the paper's is 1% of the training set.
    memory: float = Field(0.01, ge=0)
    """Clips remembered in all, shared evenly among all classes; below 1, a share of the training
    set, and at least one a class."""
    selection: Selection = "herding"
    """Which clips are remembered."""
    share: float | None = Field(0.25, gt=0, lt=1)
    """Of each batch, rehearsed; null: as all clips, the paper's."""

    # Network: speech_embedding, conformer, or a name or folder for transformers.
    encoder: str = "speech_embedding"
    """``speech_embedding``, ``conformer``, or a name or folder for transformers."""
    frozen: int = Field(3, ge=0, le=6)
    """Blocks of ``speech_embedding`` that stay as they are."""
    width: int = Field(128, ge=2, multiple_of=2)
    """Of the decoder."""
    layers: int = Field(2, ge=1)
    """Of the decoder."""
    heads: int = Field(4, ge=1)
    """Of the decoder's attention."""
    network_dropout: float = Field(0.1, ge=0, lt=1)
    """In the network."""
    contrast: int = Field(128, ge=1)
    """Width of the heads that contrasts see."""

    # Optimisation by AdamW, anew for each task; an encoder that has learnt before moves at a share
    # of the rate. Noam's schedule is the paper's: its rate follows from the width.
    epochs: int = Field(20, ge=1)
    """Of each task but the first."""
    first_epochs: int = Field(40, ge=1)
    """Of the first task."""
    batch: int = Field(16, ge=2)
    """Clips of a batch."""
    schedule: Literal["cosine", "noam"] = "cosine"
    """Of the rate: a half cosine, or the paper's, whose rate follows from the width."""
    learning_rate: float = Field(1e-3, gt=0)
    """At its highest, with ``cosine``."""
    encoder_share: float = Field(0.3, ge=0, le=1)
    """Share of the rate for an encoder that has learnt before."""
    weight_decay: float = Field(0.1, ge=0)
    """Of AdamW."""

    # Contrast: matching audio with text, and rehearsed clips of student and teacher.
    temperature: float = Field(0.1, gt=0)
    """Of all contrasts."""
    mm: float = Field(0.1, ge=0)
    """Weight of matching audio with text."""
    mm_positives: Literal["pair", "class"] = "pair"
    """A clip's own text, or all texts of its class."""
    mm_on: Literal["new", "all"] = "new"
    """Clips of the new task alone, the paper's, or rehearsed ones too."""
    nspt: float = Field(0.1, ge=0)
    """Weight of the contrast of rehearsed clips with the last task's model."""
    design: Literal["nspt", "scl", "ntpt"] = "nspt"
    """Whose embeddings are negatives and positives: NSPT, or the two it is compared with."""
    first_contrast: bool = True
    """Whether the audio head learns in the first task too, by classes."""
    scr: float = Field(0.0, ge=0)
    """Weight of supervised contrastive replay."""

    # Distillation from the teacher, on rehearsed clips.
    distil: Literal["none", "audio", "token", "sequence"] = "none"
    """What the last task's model teaches on rehearsed clips."""
    distil_temperature: float = Field(1.0, gt=0)
    """Of distillation."""

    @field_validator("heads")
    @classmethod
    def _divide_the_width(cls, heads: int, told: ValidationInfo) -> int:
        width = told.data.get("width")  # absent where it was refused itself
        if width is not None and width % heads:
            raise ValueError(f"expected a divisor of the width, {width}")
        return heads

    # Decoding.
    beam: int = Field(5, ge=1)
    """Strings kept at each step of decoding."""
    max_tokens: int = Field(100, ge=1)
    """Of a string decoded."""
    length_penalty: float = Field(0.6, ge=0)
    """Exponent by which longer strings are favoured."""


# "paper" is the network and the schedule of the author's SLURP script; it wants a GPU.
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {},
    "paper": {
        "encoder": "facebook/wav2vec2-base-960h", "width": 768, "layers": 6, "heads": 8,
        "contrast": 768, "epochs": 15, "first_epochs": 40, "batch": 32, "share": None,
        "schedule": "noam", "encoder_share": 1.0, "first_contrast": False, "beam": 20,
    },
}  # fmt: skip
