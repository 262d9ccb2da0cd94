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
    max_characters: int = Field(130, ge=1)
    clips_per_class: int | None = Field(None, ge=1)  # of training; none: all

    # Speakers left out of training, where the data set has no splits of its own or others are
    # wanted; without them an unsplit set is split at random.
    test_speakers: tuple[str, ...] = ()
    valid_speakers: tuple[str, ...] = ()

    # Tokens.
    vocabulary: int = Field(1000, ge=6)
    dropout: float = Field(0.1, ge=0, lt=1)

    # Tasks: the name of a curriculum of the papers, or as many even tasks as told.
    by: By = "intent"
    splits: str = ""
    tasks: int = Field(5, ge=1)
    shuffled: bool = False  # the order of even tasks' classes is drawn from the seed

    # Memory: clips in all, shared evenly among all classes; the paper's is 1% of the training set.
    memory: float = Field(0.01, ge=0)
    selection: Selection = "herding"
    share: float | None = Field(0.25, gt=0, lt=1)  # of each batch; none: as all clips, the paper's

    # Network: speech_embedding, conformer, or a name or folder for transformers.
    encoder: str = "speech_embedding"
    frozen: int = Field(3, ge=0, le=6)  # blocks of speech_embedding that stay as they are
    width: int = Field(128, ge=2, multiple_of=2)
    layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    network_dropout: float = Field(0.1, ge=0, lt=1)
    contrast: int = Field(128, ge=1)

    # Optimisation by AdamW, anew for each task; an encoder that has learnt before moves at a share
    # of the rate. Noam's schedule is the paper's: its rate follows from the width.
    epochs: int = Field(20, ge=1)
    first_epochs: int = Field(40, ge=1)  # of the first task
    batch: int = Field(16, ge=2)
    schedule: Literal["cosine", "noam"] = "cosine"
    learning_rate: float = Field(1e-3, gt=0)
    encoder_share: float = Field(0.3, ge=0, le=1)
    weight_decay: float = Field(0.1, ge=0)

    # Contrast: matching audio with text, and rehearsed clips of student and teacher.
    temperature: float = Field(0.1, gt=0)
    mm: float = Field(0.1, ge=0)
    mm_positives: Literal["pair", "class"] = "pair"
    mm_on: Literal["new", "all"] = "new"
    nspt: float = Field(0.1, ge=0)
    design: Literal["nspt", "scl", "ntpt"] = "nspt"
    first_contrast: bool = True  # the audio head learns in task 0 too, by classes
    scr: float = Field(0.0, ge=0)

    # Distillation from the teacher, on rehearsed clips.
    distil: Literal["none", "audio", "token", "sequence"] = "none"
    distil_temperature: float = Field(1.0, gt=0)

    @field_validator("heads")
    @classmethod
    def _divide_the_width(cls, heads: int, told: ValidationInfo) -> int:
        width = told.data.get("width")  # absent where it was refused itself
        if width is not None and width % heads:
            raise ValueError(f"expected a divisor of the width, {width}")
        return heads

    # Decoding.
    beam: int = Field(5, ge=1)
    max_tokens: int = Field(100, ge=1)
    length_penalty: float = Field(0.6, ge=0)


# "paper" is the network and the schedule of the author's SLURP script; it wants a GPU.
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {},
    "paper": {
        "encoder": "facebook/wav2vec2-base-960h", "width": 768, "layers": 6, "heads": 8,
        "contrast": 768, "epochs": 15, "first_epochs": 40, "batch": 32, "share": None,
        "schedule": "noam", "encoder_share": 1.0, "first_contrast": False, "beam": 20,
    },
}  # fmt: skip
