"""The estimator face: ``fit`` on genomes, ``transform`` on sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearfar_dna.alphabet import UNKNOWN, Codes, encode_dna
from nearfar_dna.composition import Floats
from nearfar_dna.genomes import Genomes
from nearfar_dna.model import DnaModel
from nearfar_dna.settings import DnaSettings
from nearfar_dna.train import train
from nearfar_kit.errors import UserError
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
        """Learns from genomes of two species or more.

        Raises:
            UserError: ``genomes`` are none; labels are given beside them; one species only.
        """
        if not isinstance(genomes, Genomes):
            raise UserError(
                f"fit: got a {type(genomes).__name__}; expected genomes with their species, as "
                "read_genomes(FOLDER_OR_FASTA, LABELS) gives them"
            )
        if y is not None:
            raise UserError("fit: got labels beside the genomes, which have their species; drop y")
        self.model_: DnaModel = train(genomes, self.settings, self.random_state)
        return self

    def transform(self, sequences: Sequence[str | bytes | Codes]) -> Floats:
        """Unit rows [N, width] of sequences: text, bytes, or codes as of ``read_sequences``.

        Raises:
            UserError: one sequence for a list of them; a row is no DNA, or has no known base.
        """
        if isinstance(sequences, str | bytes):
            raise UserError("transform: got one sequence; expected a list of them, [sequence]")
        return self.model_.embed([_codes(row, one) for row, one in enumerate(sequences)])


def _codes(row: int, sequence: str | bytes | Codes) -> Codes:
    if isinstance(sequence, str | bytes):
        try:
            codes = encode_dna(sequence)
        except ValueError as error:
            raise UserError(f"transform, row {row}: {error}") from None
    elif isinstance(sequence, np.ndarray) and sequence.dtype == np.uint8 and sequence.ndim == 1:
        codes = sequence
    else:
        raise UserError(
            f"transform, row {row}: is a {type(sequence).__name__}; expected a sequence as text or "
            "bytes, or the codes of one that read_sequences gives"
        )
    if not (codes < UNKNOWN).any():
        raise UserError(f"transform, row {row}: holds no known base; expected DNA")
    return codes
