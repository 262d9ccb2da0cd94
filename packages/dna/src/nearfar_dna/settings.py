"""All settings of nearfar-dna."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nearfar_kit.settings import Settings

__all__ = ["DnaSettings"]


class DnaSettings(Settings):
    """Defaults were looked for on validation species alone; see the README.

    The paper's way to train is ``method=c2lr encoder=transformer temperature=0.05 projection=128``.
    """

    # Reading.
    min_length: int = Field(1000, ge=1)
    """Bases; sequences of fewer are left out."""

    # Encoder.
    encoder: Literal["composition", "transformer", "dnabert"] = "composition"
    """Of k-mer counts; a transformer of ours on BPE tokens; or DNABERT-2's."""
    pretrained: str | None = None
    """A folder of DNABERT-2 or DNABERT-S, which says the sizes; null: none."""
    kmers: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field((4,), min_length=1, max_length=8)
    """Lengths of the k-mers that are counted, a k-mer and its reverse complement as one."""
    width: int = Field(64, ge=2, le=2**16)
    """Of an embedding."""
    depth: int = Field(1, ge=0, le=1000)
    """Residual layers on k-mers, or transformer blocks."""
    hidden: int = Field(128, ge=1, le=2**20)
    """Width inside a layer or block."""
    heads: int = Field(4, ge=1, le=2**10)
    """Of a block's attention; they divide ``width``."""
    positions: Literal["rotary", "alibi"] = "rotary"
    """How the transformer knows where a token stands."""
    max_tokens: int = Field(512, ge=8, le=2**15)
    """Of a sequence that the transformer reads; a longer one is read in parts."""
    tokenizer: str | None = None
    """A tokenizer.json; null: that of ``pretrained``, or one is learnt."""
    vocabulary: int = Field(4096, ge=16, le=2**24)
    """Tokens of one that is learnt."""
    start: Literal["whitened", "random"] = "whitened"
    """The linear map begins where fragments of one genome differ alike in all directions, or by
    chance."""
    shrinkage: float = Field(0.3, ge=0, le=1)
    """Of the covariance that whitens: the share of its diagonal alone."""

    # Training.
    method: Literal["simclr", "weighted_simclr", "sup_con", "i_mix", "mi_mix", "c2lr"] = "c2lr"
    """Which contrast; ``c2lr``: Weighted SimCLR for a third of the steps, then MI-Mix."""
    temperature: float = Field(0.2, gt=0)
    """What cosines are divided by."""
    projection: int = Field(0, ge=0)
    """Width of the contrastive head; 0: none."""
    alpha: float = Field(1.0, gt=0)
    """Of the beta distribution that mixes two sequences."""
    hardness: float = Field(0.0, ge=0)
    """Weight of MI-Mix's negatives by their likeness; 0 in the paper, 1 in its code."""
    steps: int = Field(300, ge=0)
    """Batches that are learnt from."""
    species_a_batch: int = Field(64, ge=2)
    """At most; a species is in a batch once."""
    rows_a_species: int = Field(2, ge=2)
    """Fragments of each, all of one genome."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of AdamW, after a warm-up."""
    head_rate: float = Field(1.0, gt=0)
    """Learning rate of the contrastive head, times that of the encoder."""
    weight_decay: float = Field(1e-2, ge=0)
    """Of AdamW."""
    fragments_a_genome: int = Field(80, ge=4)
    """Drawn once; batches draw among them."""
    shortest: int = Field(2000, ge=100)
    """Bases of a fragment, at least."""
    longest: int = Field(10_000, ge=100)
    """Bases of a fragment, at most."""
    errors: float = Field(0.08, ge=0, lt=1)
    """Share of bases read wrongly, at most, of half the fragments."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of training on a GPU or CPU that has it."""
