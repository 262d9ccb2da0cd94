"""A frozen text tower without a download: latent semantic analysis of letters and words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearfar_kit.errors import UserError

__all__ = ["LatentText"]


class LatentText:
    """Texts to unit vectors [N, D]: tf-idf of words and of two to four letters within a word, then
    the leading singular directions of the texts it was made from (Deerwester et al. 1990).

    A word never met is known by its letters. A text of which nothing is known is a row of zeros.

    Args:
        texts: what it is made from.
        dims: D, at most; fewer where the texts have fewer directions.

    Raises:
        UserError: scikit-learn is not installed, or the texts hold fewer than two different ones.

    Example:
        >>> tower = LatentText(["turn the light on", "play a song", "turn the light off"], dims=2)
        >>> light, song, lamp = tower(["light on", "a song", "lights"])
        >>> bool(light @ lamp > light @ song)
        True
    """

    def __init__(self, texts: Sequence[str], dims: int = 128) -> None:
        try:
            from sklearn.decomposition import TruncatedSVD
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.pipeline import make_union
        except ModuleNotFoundError:
            told = "a text tower needs scikit-learn: pip install 'nearfar-speech[zero-shot]'"
            raise UserError(told) from None
        different = list(dict.fromkeys(texts))
        if len(different) < 2:
            raise UserError(f"{len(different)} different texts; expected 2 or more, to compare")
        letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
        words = TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True)
        self._terms = make_union(letters, words)
        counts = self._terms.fit_transform(different)
        self.dims = min(dims, *(size - 1 for size in counts.shape))
        self._directions = TruncatedSVD(self.dims, random_state=0).fit(counts)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = self._directions.transform(self._terms.transform(texts))
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.where(norms > 0, norms, 1), np.float32)
