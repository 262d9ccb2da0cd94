"""The estimator face: ``fit`` on genomes, ``transform`` on sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nearfar_dna.alphabet import Codes, encode
from nearfar_dna.composition import Floats
from nearfar_dna.genomes import Genomes
from nearfar_dna.model import DnaModel
from nearfar_dna.settings import DnaSettings
from nearfar_dna.train import train
from nearfar_kit.settings import load_settings

__all__ = ["DnaEmbedder"]


class DnaEmbedder:
    """A species-aware embedding of DNA. Works with :func:`sklearn.base.clone`.

    Args:
        random_state: seed of all chance.
        settings: any of :class:`nearfar_dna.DnaSettings`, as keywords; ``method="c2lr"`` is the
            curriculum of Zhou et al. 2024 (arXiv 2402.08777).

    Attributes:
        model_: what was learnt; ``model_.save(path)`` keeps it.

    Raises:
        UserError: a setting is unknown or out of bounds.
    """

    def __init__(self, *, random_state: int = 0, **settings: Any) -> None:
        self.random_state = random_state
        self._given = settings
        self.settings = load_settings(DnaSettings, base=settings)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The keywords this was made with."""
        return {"random_state": self.random_state, **self._given}

    def set_params(self, **params: Any) -> DnaEmbedder:
        """Changes keywords; what was fitted stays until the next ``fit``."""
        self.__init__(**self.get_params() | params)  # type: ignore[misc]
        return self

    def fit(self, genomes: Genomes, y: None = None) -> DnaEmbedder:
        """Learns from genomes of two species or more."""
        self.model_: DnaModel = train(genomes, self.settings, self.random_state)
        return self

    def transform(self, sequences: Sequence[str | Codes]) -> Floats:
        """Unit rows [N, width] of sequences."""
        codes = [encode(s) if isinstance(s, str) else s for s in sequences]
        return self.model_.embed(codes)
