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
    """Words that two rows must share to be a candidate pair."""
    token_rows: int = Field(50, ge=2)
    """Words that more rows hold than this make no candidates."""
    most_pairs: int = Field(5_000_000, ge=1)
    """Where blocking would give more candidates than this, nothing is run."""
    within: bool = False
    """Whether rows of one table may be one thing, where there are several tables."""

    # Learning to match from perturbed copies.
    encoder: str = "hashed"
    """Of values: ``hashed``, ``minilm``, or a folder that transformers saved."""
    embedding: int = Field(64, ge=8, le=4096)
    """Width of the hashed encoder's vectors."""
    width: int = Field(32, ge=4, le=4096)
    """Of the matcher's attributes."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Of the matcher."""
    positives: int = Field(3, ge=1)
    """Perturbed copies of a row."""
    operations: int = Field(2, ge=1)
    """Perturbations of a copy."""
    negatives: int = Field(6, ge=1)
    """Rows that each row is told from."""
    hard_share: float = Field(0.5, ge=0, le=1)
    """Of the negatives, the share drawn from candidate pairs."""
    ceiling: float = Field(0.8, gt=0, le=1)
    """Negatives whose rows are more alike than this are left out: they may be matches."""
    rows: int = Field(1500, ge=2)
    """That are learnt from, by chance."""
    epochs: int = Field(8, ge=0)
    """Passes over them; 0: string similarities alone."""
    batch: int = Field(256, ge=2)
    """Pairs a step."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of AdamW."""
    weight_decay: float = Field(1e-3, ge=0)
    """Of AdamW."""
    adversarial: Literal["fgm", "pgd", "none"] = "fgm"
    """How embeddings are moved to where the loss is larger: one step, several, or not."""
    epsilon: float = Field(0.2, gt=0)
    """How far, relative to the embedding's length."""
    adversarial_weight: float = Field(0.5, ge=0)
    """Of the loss there."""
    contrastive: Literal["none", "siglip", "info_nce"] = "siglip"
    """A contrast of whole rows beside the pairs' loss."""
    contrastive_weight: float = Field(0.2, ge=0)
    """Of that contrast."""

    # Adapting to what is there, without labels.
    calibration: Literal["adapted", "mixture", "fixed"] = "adapted"
    """What decides without labels: a regression that goes on from its own labels (``adapted``), a
    mixture of the scores, or the threshold as it is."""
    rounds: int = Field(3, ge=1)
    """Of the regression on its own labels."""
    margin: float = Field(0.5, ge=0)
    """How far a pair may score below the best of its rows and yet match."""
    strength: float = Field(0.01, gt=0)
    """The regression's C: smaller holds the weights back more."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Probability from which a pair is a match."""

    # Sets and their conflicts.
    groups: Literal[
        "components", "cliques", "louvain", "leiden", "label propagation", "infomap",
        "newman-girvan", "spectral", "gnn",
    ] = "cliques"  # fmt: skip
    """How pairs become sets of rows, within each connected component."""
    demonstrations: int = Field(10, ge=0)
    """Rows that a judge is shown for a conflict."""
    least_nats: float = Field(0.1, ge=0)
    """Mutual information that an attribute must have with the one in conflict to be shown."""
    selection: Literal["weighted", "equal", "random"] = "weighted"
    """Which rows those are: nearest, attributes weighted by mutual information or alike; or any."""
    resolver: Literal[
        "vote", "truthfinder", "crh", "accu", "slimfast", "longest", "first", "random"
    ] = "accu"  # fmt: skip
    """What decides between values where no judge is asked."""
    priority: tuple[str, ...] = ()
    """Tables by name, the most trusted first: what they say stands, whatever others and a judge
    say; null cells of theirs are filled by others."""
