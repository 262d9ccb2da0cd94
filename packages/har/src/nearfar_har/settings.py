"""All settings of nearfar-har: what is cut, learned, and measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nearfar_har.selection import Policy
from nearfar_kit.settings import Settings

__all__ = ["HarSettings"]


class HarSettings(Settings):
    """Defaults are those that won on two validation subjects of DSADS; see the README.

    The paper's ColloSSL is ``encoder=transform_net policy=closest negatives=permuted projection=0
    rotation=0 temperature=0.05``.
    """

    # Windows.
    window_seconds: float = Field(2.0, gt=0)
    overlap: float = Field(0.0, ge=0, lt=1)
    purity: float = Field(0.75, ge=0.5, le=1)

    # Pre-training.
    pretext: Literal[
        "colossl", "cross_device", "simclr", "multitask", "autoencoder", "cpc", "none"
    ] = "colossl"
    encoder: Literal["residual", "transform_net"] = "residual"
    policy: Policy = "all"
    negatives: Literal["permuted", "in_batch", "both"] = "in_batch"
    permutations: int = Field(1, ge=1)
    weighted: bool = True
    temperature: float = Field(0.1, gt=0)
    projection: int = Field(64, ge=0)
    rotation: float = Field(0.6, ge=0)
    steps: int = Field(1000, ge=1)
    batch: int = Field(48, ge=2)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)

    # Classifiers: the encoder's last stages trained on with a small head, or a linear probe. Only
    # where all three stages are trained are windows turned at random, which keeps fine-tuning from
    # learning the training subjects by heart.
    labels: float = Field(1.0, gt=0, le=1)
    readout: Literal["tuned", "probe"] = "tuned"
    probe_strength: float = Field(1.0, gt=0)
    tuned_stages: int = Field(3, ge=0, le=3)
    tuned_steps: int = Field(300, ge=1)
    tuned_batch: int = Field(64, ge=2)
    tuned_learning_rate: float = Field(3e-3, gt=0)
    tuned_rotation: float = Field(0.3, ge=0)
