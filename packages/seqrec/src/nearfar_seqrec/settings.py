"""All settings of nearfar-seqrec: what is read, learned, and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from nearfar_kit.settings import Settings

__all__ = ["Method", "SeqrecSettings", "Unknown"]

Method = Literal["mclrec", "duorec", "cl4srec", "sasrec", "gru4rec"]
Unknown = Literal["error", "skip"]  # what becomes of items that a model does not know
Augment = Literal["crop", "mask", "reorder", "insert", "substitute"]


class SeqrecSettings(Settings):
    """Network and contrast are the paper's; what was chosen on validation is in the README."""

    # Data.
    user_min: int = Field(5, ge=1)
    item_min: int = Field(5, ge=1)
    most: int = Field(0, ge=0)  # interactions; user_min and item_min rise until so few; 0: any
    recent: int = Field(0, ge=0)  # interactions of each user that are kept, the last; 0: all
    split: Literal["leave_one_out", "time"] = "leave_one_out"
    valid_share: float = Field(0.1, gt=0, lt=0.5)
    test_share: float = Field(0.1, gt=0, lt=0.5)
    features: Path | None = None  # a file of what is known of items
    feature_fields: tuple[str, ...] = ()  # columns of it; none named: all

    # Network.
    method: Method = "mclrec"
    longest: int = Field(50, ge=1)
    width: int = Field(64, ge=1)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    inner_width: int = Field(256, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)

    # Training.
    train_mode: Literal["positions", "prefix"] = "positions"
    loss: Literal["full", "sampled"] = "full"
    sampled_items: int = Field(4096, ge=1)
    epochs: int = Field(200, ge=1)
    patience: int = Field(10, ge=1)
    validate_every: int = Field(1, ge=1)
    batch: int = Field(256, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)

    # Contrast.
    augmentations: tuple[Augment, ...] = Field(("crop", "mask", "reorder"), min_length=1)
    crop_ratio: float = Field(0.5, ge=0, lt=1)
    mask_ratio: float = Field(0.5, ge=0, le=1)
    reorder_ratio: float = Field(0.8, ge=0, le=1)
    insert_ratio: float = Field(0.3, ge=0, le=1)
    substitute_ratio: float = Field(0.3, ge=0, le=1)
    temperature: float = Field(1.0, gt=0)
    view_weight: float = Field(0.1, ge=0)  # CL4SRec's and MCLRec's lambda, DuoRec's too
    meta_weight: float = Field(0.1, ge=0)  # MCLRec's beta
    margin_weight: float = Field(0.1, ge=0)  # of the regulariser beside the contrast, its gamma
    margin_over: Literal["row", "batch"] = "row"
    pairs: Literal["all", "augmented"] = "all"
    meta: Literal["published", "alternate", "joint"] = "published"

    # Evaluation.
    mask_seen: bool = False
