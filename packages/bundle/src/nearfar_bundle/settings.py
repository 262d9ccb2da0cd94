"""All settings of nearfar-bundle: what is read, learnt, and measured."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nearfar_kit.settings import Settings

__all__ = ["VARIANTS", "BundleSettings", "Variant"]

Variant = Literal["default", "paper"]
ItemViews = Literal["none", "same", "dropout", "noise", "modalities"]
BundleViews = Literal["none", "drop", "replace", "add"]
BundleEncoder = Literal["attention", "denoising", "variational", "recurrent", "transformer"]

# CLHE as published: what it departs in from the default. Contrasts are those of its POG setting.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "evidence": False, "encoder": True, "towers": "separate", "id_rows": "all",
        "target": "full", "item_views": "noise", "item_weight": 2.0, "item_temperature": 0.5,
        "bundle_views": "drop", "bundle_weight": 0.5, "bundle_temperature": 0.01,
        "bundle_ratio": 0.5, "encoder_rate": 1e-3, "weight_decay": 1e-5, "batch": 256,
        "hidden_width": 256,
    },
}  # fmt: skip


class BundleSettings(Settings):
    """What was chosen on validation parts is in the README; names of the paper are beside ours."""

    variant: Variant = "default"

    # Data.
    split: Literal["kin", "given"] = "kin"
    valid_share: float = Field(0.1, gt=0, lt=0.5)
    test_share: float = Field(0.2, gt=0, lt=0.5)
    shown_share: float = Field(0.5, gt=0, lt=1)
    near: float = Field(0.5, gt=0, le=1)  # Jaccard index above which bundles are kin
    missing: float = Field(0.0, ge=0, lt=1)  # share of features that is taken away, for tests
    longest: int = Field(200, ge=2)  # items of a bundle

    # Features.
    sentences: str = ""  # minilm, or the folder of an encoder: texts as its vectors too
    text_width: int = Field(128, ge=1)  # of the decomposed TF-IDF that the encoder reads
    cf_width: int = Field(64, ge=0)  # of collaborative vectors; 0: none
    cf_epochs: int = Field(10, ge=1)
    cf_layers: int = Field(2, ge=0)
    cf_rate: float = Field(0.01, gt=0)

    # Model.
    evidence: bool = True
    encoder: bool = False
    towers: Literal["tied", "separate"] = "tied"
    id_rows: Literal["all", "warm", "none"] = "warm"
    width: int = Field(64, ge=1)
    hidden_width: int = Field(0, ge=0)  # of the towers of modalities; 0: they are linear
    bundle_encoder: BundleEncoder = "attention"
    bundle_noise: float = Field(0.5, ge=0, lt=1)  # items left out: denoising and variational
    bundle_dropout: float = Field(0.1, ge=0, lt=1)  # of the transformer
    kl_weight: float = Field(0.2, ge=0)  # of the variational encoder

    # Contrast: L = L_bundle-to-items + alpha1 L_item + alpha2 L_bundle.
    item_views: ItemViews = "modalities"
    item_weight: float = Field(0.05, ge=0)  # alpha1
    item_temperature: float = Field(0.2, gt=0)
    item_dropout: float = Field(0.2, ge=0, lt=1)
    item_noise: float = Field(0.02, ge=0)
    bundle_views: BundleViews = "drop"
    bundle_weight: float = Field(0.05, ge=0)  # alpha2
    bundle_temperature: float = Field(0.2, gt=0)
    bundle_ratio: float = Field(0.5, gt=0)

    # Training.
    target: Literal["held_out", "full"] = "held_out"
    loss: Literal["softmax", "bce"] = "softmax"
    candidates: int = Field(8192, ge=2)  # items a batch competes with, where there are more
    epochs: int = Field(30, ge=1)
    patience: int = Field(5, ge=1)
    batch: int = Field(128, ge=2)
    encoder_rate: float = Field(2e-3, gt=0)
    evidence_rate: float = Field(0.1, gt=0)  # of the weights of modalities
    word_rate: float = Field(0.03, gt=0)  # of the weights of words and labels
    word_decay: float = Field(1e-3, ge=0)
    weight_decay: float = Field(1e-4, ge=0)

    @model_validator(mode="after")
    def _yes_or_no_needs_a_bias(self) -> Self:
        if self.loss == "bce" and self.evidence:
            raise ValueError("loss=bce goes with evidence=false: cosines are no chances")
        return self
