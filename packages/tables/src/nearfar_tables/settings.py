"""All settings of nearfar-tables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nearfar_kit.settings import Settings

__all__ = ["TablesSettings"]


class TablesSettings(Settings):
    """Defaults of matching were chosen on the train and valid pairs of the er_magellan sets.

    The paper's SSACL draws 6 positives and 20 negatives a row, trains for 30 epochs and calls a
    pair a match from 0.5 on: ``positives=6 operations=1 negatives=20 hard_share=0 epochs=30
    calibration=fixed contrastive=none``.
    """

    # Blocking.
    shared_tokens: int = Field(2, ge=1)
    token_rows: int = Field(50, ge=2)
    most_pairs: int = Field(5_000_000, ge=1)
    within: bool = False  # whether rows of one table may be one thing, where there are several

    # Learning to match from perturbed copies.
    encoder: str = "hashed"  # or minilm, or a folder of transformers
    embedding: int = Field(64, ge=8)  # of the hashed encoder
    width: int = Field(32, ge=4)
    dropout: float = Field(0.2, ge=0, lt=1)
    positives: int = Field(3, ge=1)
    operations: int = Field(2, ge=1)
    negatives: int = Field(6, ge=1)
    hard_share: float = Field(0.5, ge=0, le=1)
    ceiling: float = Field(0.8, gt=0, le=1)
    rows: int = Field(1500, ge=2)
    epochs: int = Field(8, ge=0)
    batch: int = Field(256, ge=2)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    adversarial: Literal["fgm", "pgd", "none"] = "fgm"
    epsilon: float = Field(0.2, gt=0)
    adversarial_weight: float = Field(0.5, ge=0)
    contrastive: Literal["none", "siglip", "info_nce"] = "siglip"
    contrastive_weight: float = Field(0.2, ge=0)

    # Adapting to what is there, without labels.
    calibration: Literal["adapted", "mixture", "fixed"] = "adapted"
    rounds: int = Field(3, ge=1)
    margin: float = Field(0.5, ge=0)
    strength: float = Field(0.01, gt=0)
    threshold: float = Field(0.5, gt=0, lt=1)

    # Sets and their conflicts.
    groups: Literal[
        "components", "cliques", "louvain", "leiden", "label propagation", "infomap",
        "newman-girvan", "spectral", "gnn",
    ] = "cliques"  # fmt: skip
    demonstrations: int = Field(10, ge=0)  # that a judge is shown for a conflict
    least_nats: float = Field(0.1, ge=0)  # that an attribute must tell of another to be shown
    selection: Literal["weighted", "equal", "random"] = "weighted"
    resolver: Literal[
        "vote", "truthfinder", "crh", "accu", "slimfast", "longest", "first", "random"
    ] = "accu"  # fmt: skip
