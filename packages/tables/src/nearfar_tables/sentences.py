"""Cell embeddings by a local sentence encoder: MiniLM of a published wheel, or any transformer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from nearfar_kit.sentences import sentence_vectors

__all__ = ["EXTRA", "embed_sentences"]

EXTRA = "nearfar-tables[minilm]"


def embed_sentences(values: Sequence[str], encoder: str) -> NDArray[np.float32]:
    """[V, width] of unit norm. A value that has been embedded once is not embedded again.

    Args:
        encoder: ``minilm``, or a folder of transformers with safetensors weights.

    Raises:
        UserError: it cannot be loaded.
    """
    known = _known(encoder)
    new = sorted({value for value in values if value not in known})
    vectors = normalize(sentence_vectors(new, encoder, extra=EXTRA)) if new else ()
    known.update(zip(new, vectors, strict=True))
    if not values:
        return sentence_vectors([], encoder, extra=EXTRA)
    return np.stack([known[value] for value in values])


@lru_cache(maxsize=1)
def _known(encoder: str) -> dict[str, NDArray[np.float32]]:
    return {}
