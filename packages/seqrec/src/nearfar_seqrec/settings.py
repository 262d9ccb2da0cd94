"""All settings of nearfar-seqrec: what is read, learned, and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from nearfar_kit.settings import Settings

__all__ = ["Method", "SeqrecSettings", "Unknown"]

Method = Literal["mclrec", "duorec", "cl4srec", "sasrec", "gru4rec"]
Unknown = Literal["auto", "skip", "error"]  # what becomes of items that a model does not know
Augment = Literal["crop", "mask", "reorder", "insert", "substitute"]


class SeqrecSettings(Settings):
    """Network and contrast are the paper's; what was chosen on validation is in the README."""

    # Data.
    user_min: int = Field(5, ge=1)
    """Users of fewer interactions are left out."""
    item_min: int = Field(5, ge=1)
    """Items of fewer interactions are left out."""
    most: int = Field(0, ge=0)
    """Where more interactions than this would be left, both minima rise; 0: never."""
    recent: int = Field(0, ge=0)
    """Interactions of each user that are kept, the last; 0: all."""
    split: Literal["leave_one_out", "time"] = "leave_one_out"
    """Each user's last item tests, the one before validates; or one moment divides all users."""
    valid_share: float = Field(0.1, gt=0, lt=0.5)
    """Of all interactions, by ``split=time``."""
    test_share: float = Field(0.1, gt=0, lt=0.5)
    """Of all interactions, by ``split=time``."""
    features: Path | None = None
    """A file of what is known of items: an item's vector is its own and the mean of theirs."""
    feature_fields: tuple[str, ...] = ()
    """Columns of ``features``; none named: all."""

    # Network.
    method: Method = "mclrec"
    """What is trained."""
    longest: int = Field(50, ge=1)
    """Items of a history."""
    width: int = Field(64, ge=1)
    """Of item vectors and states."""
    layers: int = Field(2, ge=1)
    """Transformer blocks, or layers of the GRU."""
    heads: int = Field(2, ge=1)
    """Of the attention; they divide ``width``."""
    inner_width: int = Field(256, ge=1)
    """Of the blocks' feed-forward networks."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Of item vectors, attention and blocks."""

    # Training.
    train_mode: Literal["positions", "prefix"] = "positions"
    """Rows of up to ``longest`` targets, or RecBole's, a row a target."""
    loss: Literal["full", "sampled"] = "full"
    """Cross-entropy over the whole catalogue, or over items drawn by how often they are taken."""
    sampled_items: int = Field(4096, ge=1)
    """Items drawn for a batch, by ``loss=sampled``."""
    epochs: int = Field(200, ge=1)
    """At most."""
    patience: int = Field(10, ge=1)
    """Validations in a row that may be no better than the best."""
    validate_every: int = Field(1, ge=1)
    """Epochs from one validation to the next."""
    batch: int = Field(256, ge=2)
    """Rows."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of Adam, for encoder and augmenters."""
    weight_decay: float = Field(0.0, ge=0)
    """Of Adam."""

    # Contrast.
    augmentations: tuple[Augment, ...] = Field(("crop", "mask", "reorder"), min_length=1)
    """Two different ones are drawn for each history."""
    crop_ratio: float = Field(0.5, ge=0, lt=1)
    """Share of a history that a crop leaves out."""
    mask_ratio: float = Field(0.5, ge=0, le=1)
    """Share of items that a mask hides."""
    reorder_ratio: float = Field(0.8, ge=0, le=1)
    """Share of a history that is shuffled, in one piece."""
    insert_ratio: float = Field(0.3, ge=0, le=1)
    """Share of items before which a similar one is put."""
    substitute_ratio: float = Field(0.3, ge=0, le=1)
    """Share of items that a similar one replaces."""
    temperature: float = Field(1.0, gt=0)
    """Of the contrast of two views; that of learnt views is 1."""
    view_weight: float = Field(0.03, ge=0)
    """Of the contrast of two views: CL4SRec's, DuoRec's and MCLRec's lambda."""
    meta_weight: float = Field(0.05, ge=0)
    """Of the contrasts with learnt views: MCLRec's beta."""
    margin_weight: float = Field(0.1, ge=0)
    """Of the regulariser beside those, MCLRec's gamma."""
    margin_over: Literal["row", "batch"] = "row"
    """The regulariser's bounds are of each row, as in the code, or of the batch, as the paper."""
    pairs: Literal["all", "augmented"] = "all"
    """Contrasts of learnt views with all others, or with each other alone."""
    meta: Literal["published", "alternate", "joint"] = "published"
    """Steps: encoder, augmenters, encoder; the paper's encoder, augmenters; or one of all."""

    # Evaluation.
    mask_seen: bool = False
    """Whether items of the history are left out of the ranking."""
