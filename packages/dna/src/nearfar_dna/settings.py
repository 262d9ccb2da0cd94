"""All settings of nearfar-dna."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nearfar_kit.settings import Settings

__all__ = ["DnaSettings"]


class DnaSettings(Settings):
    """Defaults were looked for on validation species alone; see the README.

    The paper's way to train is ``method=c2lr encoder=transformer temperature=0.05 projection=128``.
    """

    # Reading.
    min_length: int = Field(1000, ge=1)

    # Encoder.
    encoder: Literal["composition", "transformer", "dnabert"] = "composition"
    pretrained: str | None = None  # a folder of DNABERT-2 or DNABERT-S, which says the sizes
    kmers: tuple[int, ...] = (4,)
    width: int = Field(64, ge=2)
    depth: int = Field(1, ge=0)
    hidden: int = Field(128, ge=1)
    heads: int = Field(4, ge=1)
    positions: Literal["rotary", "alibi"] = "rotary"
    max_tokens: int = Field(512, ge=8)
    tokenizer: str | None = None  # a tokenizer.json; None: that of pretrained, or one is learnt
    vocabulary: int = Field(4096, ge=16)
    start: Literal["whitened", "random"] = "whitened"
    shrinkage: float = Field(0.3, ge=0, le=1)

    # Training.
    method: Literal["simclr", "weighted_simclr", "sup_con", "i_mix", "mi_mix", "c2lr"] = "c2lr"
    temperature: float = Field(0.2, gt=0)
    projection: int = Field(0, ge=0)
    alpha: float = Field(1.0, gt=0)
    hardness: float = Field(0.0, ge=0)  # of MI-Mix's negatives; 0 in the paper, 1 in its code
    steps: int = Field(300, ge=0)
    species_a_batch: int = Field(64, ge=2)
    rows_a_species: int = Field(2, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    head_rate: float = Field(1.0, gt=0)  # times that of the encoder
    weight_decay: float = Field(1e-2, ge=0)
    fragments_a_genome: int = Field(80, ge=4)
    shortest: int = Field(2000, ge=100)
    longest: int = Field(10_000, ge=100)
    errors: float = Field(0.08, ge=0, lt=1)  # at most, of half the fragments
    precision: Literal["fp32", "bf16"] = "fp32"
