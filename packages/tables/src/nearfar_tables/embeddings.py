"""Cell embeddings: one short vector a distinct value, made once and kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.preprocessing import normalize

from nearfar_kit.sentences import sentence_width
from nearfar_tables.cells import BUCKETS, Cells
from nearfar_tables.sentences import EXTRA, embed_sentences
from nearfar_tables.settings import TablesSettings

__all__ = ["embed_values", "embedded", "embedding_width"]

HASHED = "hashed"

CHUNK = 1 << 16  # values at a time


def embedded(cells: Cells, settings: TablesSettings) -> NDArray[np.float32]:
    """[V, width]: each distinct value by the encoder that the settings name."""
    if settings.encoder == HASHED:
        return embed_values(cells, settings.embedding)
    return embed_sentences(cells.values, settings.encoder)


def embedding_width(settings: TablesSettings) -> int:
    """Of what :func:`embedded` gives."""
    if settings.encoder == HASHED:
        return settings.embedding
    return sentence_width(settings.encoder, extra=EXTRA)


def embed_values(cells: Cells, width: int, seed: int = 0) -> NDArray[np.float32]:
    """[V, width]: words and character 3-grams of each value under one random projection.

    Johnson and Lindenstrauss 1984: inner products are kept to about ``1 / sqrt(width)``; the
    matcher's own linear layer learns from there. The same value has the same vector in any table.
    """
    rng = np.random.default_rng(seed)
    projection = rng.standard_normal((2 * BUCKETS, width), dtype=np.float32) / width**0.5
    damped = csr_array(cells.both, dtype=np.float32)
    damped.data = 1 + np.log(damped.data)
    unit = csr_array(normalize(damped))
    parts = [unit[at : at + CHUNK] @ projection for at in range(0, unit.shape[0], CHUNK)]
    found: NDArray[np.float32] = np.concatenate([np.zeros((0, width), np.float32), *parts])
    return found
