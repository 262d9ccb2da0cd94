"""Texts of items as vectors of a sentence encoder: a modality for each of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nearfar_bundle.catalogue import Floats
from nearfar_kit.sentences import sentence_vectors

__all__ = ["told_by_sentences"]

EXTRA = "nearfar-bundle[minilm]"


def told_by_sentences(texts: Mapping[str, Sequence[str]], encoder: str) -> dict[str, Floats]:
    """A modality of vectors for each of texts; rows of NaN for empty ones.

    Raises:
        UserError: the encoder cannot be loaded.
    """
    return {f"{name} sentences": _vectors(own, encoder) for name, own in texts.items()}


def _vectors(texts: Sequence[str], encoder: str) -> Floats:
    there = [n for n, text in enumerate(texts) if text.strip()]
    told = sentence_vectors([texts[n] for n in there], encoder, extra=EXTRA)
    found = np.full((len(texts), told.shape[1]), np.nan, np.float32)
    found[there] = told
    return found
