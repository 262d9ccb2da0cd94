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
    """The learnt blend of evidence, or CLHE as published; what is set beside it wins."""

    # Data.
    split: Literal["kin", "given"] = "kin"
    """Bundles that are alike fall on one side; or the parts that the data come with."""
    valid_share: float = Field(0.1, gt=0, lt=0.5)
    """Of the bundles, by ``split=kin``."""
    test_share: float = Field(0.2, gt=0, lt=0.5)
    """Of the bundles, by ``split=kin``."""
    shown_share: float = Field(0.5, gt=0, lt=1)
    """Of a bundle's items, where it is completed."""
    near: float = Field(0.5, gt=0, le=1)
    """Jaccard index above which bundles are kin."""
    missing: float = Field(0.0, ge=0, lt=1)
    """Share of features that is taken away, to see what it costs."""
    longest: int = Field(200, ge=2)
    """Items of a bundle that are learnt from; a cart of more is not completed."""

    # Features.
    sentences: str = ""
    """``minilm``, or the folder of a sentence encoder: texts as its vectors too."""
    text_width: int = Field(128, ge=1)
    """Of the decomposed TF-IDF that the encoder reads."""
    cf_width: int = Field(64, ge=0)
    """Of the collaborative vectors, a LightGCN's; 0: none."""
    cf_epochs: int = Field(10, ge=1)
    """Passes over the feedback."""
    cf_layers: int = Field(2, ge=0)
    """Of the LightGCN."""
    cf_rate: float = Field(0.01, gt=0)
    """Learning rate of the LightGCN."""

    # Model.
    evidence: bool = True
    """Whether the blend of cosines scores."""
    encoder: bool = False
    """Whether encoders of items and bundles score."""
    towers: Literal["tied", "separate"] = "tied"
    """Items shown and items to be found have one encoder, or each its own."""
    id_rows: Literal["all", "warm", "none"] = "warm"
    """Which items have a vector of their own: those in bundles of training, all or none."""
    width: int = Field(64, ge=1)
    """Of the vectors of items and bundles."""
    hidden_width: int = Field(0, ge=0)
    """Of the towers of modalities; 0: they are linear."""
    bundle_encoder: BundleEncoder = "attention"
    """How items become a bundle."""
    bundle_noise: float = Field(0.5, ge=0, lt=1)
    """Share of the items left out, by the denoising and the variational encoder."""
    bundle_dropout: float = Field(0.1, ge=0, lt=1)
    """Of the transformer."""
    kl_weight: float = Field(0.2, ge=0)
    """Of the variational encoder's prior."""

    # Contrast: L = L_bundle-to-items + alpha1 L_item + alpha2 L_bundle.
    item_views: ItemViews = "modalities"
    """What the second view of an item is made by."""
    item_weight: float = Field(0.05, ge=0)
    """Of the contrast of items, the paper's alpha1."""
    item_temperature: float = Field(0.2, gt=0)
    """Of the contrast of items."""
    item_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of numbers or modalities that a view loses."""
    item_noise: float = Field(0.02, ge=0)
    """Deviation of the noise that a view is given."""
    bundle_views: BundleViews = "drop"
    """What the second view of a bundle is made by."""
    bundle_weight: float = Field(0.05, ge=0)
    """Of the contrast of bundles, the paper's alpha2."""
    bundle_temperature: float = Field(0.2, gt=0)
    """Of the contrast of bundles."""
    bundle_ratio: float = Field(0.5, gt=0)
    """Share of the items that a view keeps, or that are added."""

    # Training.
    target: Literal["held_out", "full"] = "held_out"
    """What is to be found: items not shown, or the whole bundle."""
    loss: Literal["softmax", "bce"] = "softmax"
    """Cross-entropy over the catalogue, or a yes or no an item."""
    candidates: int = Field(8192, ge=2)
    """Items that a batch competes with, where the catalogue has more."""
    epochs: int = Field(30, ge=1)
    """At most."""
    patience: int = Field(5, ge=1)
    """Epochs in a row that may be no better on the validation part."""
    batch: int = Field(128, ge=2)
    """Bundles a step."""
    encoder_rate: float = Field(2e-3, gt=0)
    """Learning rate of the encoders."""
    evidence_rate: float = Field(0.1, gt=0)
    """Learning rate of the weights of modalities."""
    word_rate: float = Field(0.03, gt=0)
    """Learning rate of the weights of words and labels."""
    word_decay: float = Field(1e-3, ge=0)
    """How strongly words are held to counting alike."""
    weight_decay: float = Field(1e-4, ge=0)
    """Of the encoders."""

    @model_validator(mode="after")
    def _yes_or_no_needs_a_bias(self) -> Self:
        if self.loss == "bce" and self.evidence:
            raise ValueError("loss=bce goes with evidence=false: cosines are no chances")
        return self
