"""All settings of nearfar-har: what is cut, learned, and measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nearfar_kit.settings import Settings

__all__ = ["HarSettings", "Policy"]

Policy = Literal["closest", "hard_negatives", "random", "all"]


class HarSettings(Settings):
    """Defaults are those that won on two validation subjects of DSADS; see the README.

    The paper's ColloSSL is ``encoder=transform_net policy=closest negatives=permuted projection=0
    rotation=0 temperature=0.05``.
    """

    # Windows.
    window_seconds: float = Field(2.0, gt=0)
    """What one prediction is made from, in seconds."""
    overlap: float = Field(0.0, ge=0, lt=1)
    """Share of a window that the next one has too."""
    purity: float = Field(0.75, ge=0.5, le=1)
    """Share of a window's samples that its label must cover; else it has none."""

    # Pre-training.
    pretext: Literal[
        "colossl", "cross_device", "simclr", "multitask", "autoencoder", "cpc", "none"
    ] = "colossl"
    """How the encoder learns without labels; ``none``: not at all."""
    encoder: Literal["residual", "transform_net"] = "residual"
    """A small residual network, or the paper's convolutions."""
    policy: Policy = "all"
    """Which other devices are positives: ``closest`` is the paper's."""
    negatives: Literal["permuted", "in_batch", "both"] = "in_batch"
    """Moments permuted in time, one each (the paper's), all others of the batch, or both."""
    permutations: int = Field(1, ge=1)
    """How often moments are permuted."""
    weighted: bool = True
    """Whether near devices weigh more among the negatives."""
    temperature: float = Field(0.1, gt=0)
    """Of the contrast."""
    projection: int = Field(64, ge=0)
    """Width of a head that the contrast alone sees; 0: none, as in the paper."""
    rotation: float = Field(0.6, ge=0)
    """Spread of random turns in pre-training, in radians; 0 is the paper's."""
    steps: int = Field(1000, ge=1)
    """Of pre-training."""
    batch: int = Field(48, ge=2)
    """Moments of one subject in a batch, each seen by all devices."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of pre-training, at its highest."""
    weight_decay: float = Field(1e-4, ge=0)
    """Of pre-training."""

    # Classifiers: the encoder's last stages trained on with a small head, or a linear probe. Only
    # where all three stages are trained are windows turned at random, which keeps fine-tuning from
    # learning the training subjects by heart.
    labels: float = Field(1.0, gt=0, le=1)
    """Share of the labelled windows that is used."""
    readout: Literal["tuned", "probe"] = "tuned"
    """The encoder trained on with a small head, or a linear probe of it as it is."""
    probe_strength: float = Field(1.0, gt=0)
    """Inverse of the probe's regularisation."""
    tuned_stages: int = Field(3, ge=0, le=3)
    """The encoder's last stages that are trained on."""
    tuned_steps: int = Field(300, ge=1)
    """Of training on."""
    tuned_batch: int = Field(64, ge=2)
    """Windows of a batch in training on."""
    tuned_learning_rate: float = Field(3e-3, gt=0)
    """Of training on, at its highest."""
    tuned_rotation: float = Field(0.3, ge=0)
    """Spread of random turns, in radians, where all three stages are trained on."""
