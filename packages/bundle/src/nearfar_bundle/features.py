"""What an item is, as one sparse row of unit norm a modality: text, labels, vectors, company.

The inner product of two items' rows is their cosine; of a partial bundle, whose row is the mean of
its items', and an item it is the mean cosine. Cosine of TF-IDF, co-occurrence in bundles, item-kNN
on feedback are all of this form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.feature_extraction.text import TfidfVectorizer

from nearfar_bundle.catalogue import Floats

__all__ = [
    "Block", "Kind", "LabelRows", "TextRows", "company", "mean_rows", "unit_rows", "vector_rows",
]  # fmt: skip

Kind = Literal["text", "labels", "vectors", "company"]


@dataclass(frozen=True)
class Block:
    """One modality.

    Attributes:
        rows: [I, F] of unit norm, or of zeros where an item has none of it.
        columns: [F] words, labels or holders, for reasons; empty for vectors.
    """

    name: str
    kind: Kind
    rows: csr_matrix
    columns: tuple[str, ...] = ()

    @property
    def present(self) -> NDArray[np.bool_]:
        """[I], whether an item has it."""
        there: NDArray[np.bool_] = np.diff(self.rows.indptr) > 0
        return there


class TextRows:
    """TF-IDF of words and pairs of words; learnt once, it takes texts of items to come.

    Attributes:
        words: [F], each column's.
    """

    def __init__(self, words: Sequence[str], weights: Floats) -> None:
        self.words, self.weights = list(words), weights
        self._counted = _vectorizer(vocabulary={word: n for n, word in enumerate(words)})

    @classmethod
    def of(cls, texts: Sequence[str]) -> TextRows:
        """Its words are those of two texts or more (of one, where no word is in two)."""
        for least in (2, 1):
            fitted = _vectorizer(min_df=least)
            try:
                fitted.fit(texts)
            except ValueError:  # no word is left
                continue
            return cls(fitted.get_feature_names_out().tolist(), fitted.idf_.astype(np.float32))
        return cls([], np.empty(0, np.float32))

    def rows(self, texts: Sequence[str]) -> csr_matrix:
        """[n, F] of texts."""
        if not self.words:
            return csr_matrix((len(texts), 0), dtype=np.float32)
        self._counted.idf_ = self.weights.astype(np.float64)
        return self._counted.transform(texts).astype(np.float32).tocsr()


def _vectorizer(**given: object) -> TfidfVectorizer:
    return TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w[\w'&/-]*\b", **given
    )


class LabelRows:
    """Labels weighted by how few items have them, as words of a text would be."""

    def __init__(self, names: Sequence[str], weights: Floats) -> None:
        self.names, self.weights = list(names), weights
        self._number = {name: n for n, name in enumerate(names)}

    @classmethod
    def of(cls, labels: Sequence[tuple[str, ...]]) -> LabelRows:
        names = sorted({label for own in labels for label in own})
        number = {name: n for n, name in enumerate(names)}
        count = np.zeros(len(names))
        for own in labels:
            for label in set(own):
                count[number[label]] += 1
        idf = np.log((1 + len(labels)) / (1 + count)) + 1
        return cls(names, idf.astype(np.float32))

    def rows(self, labels: Sequence[tuple[str, ...]]) -> csr_matrix:
        """[n, F]; labels that were not there when this was learnt say nothing."""
        pairs = [
            (row, self._number[label])
            for row, own in enumerate(labels)
            for label in dict.fromkeys(own)
            if label in self._number
        ]
        at = np.array(pairs, np.int64).reshape(-1, 2)
        shape = (len(labels), len(self.names))
        found = csr_matrix((self.weights[at[:, 1]], (at[:, 0], at[:, 1])), shape=shape)
        return unit_rows(found)


def vector_rows(vectors: Floats) -> csr_matrix:
    """[I, D] with rows of NaN where they are missing -> [I, D] of unit norm, or zeros."""
    return unit_rows(csr_matrix(np.nan_to_num(vectors, nan=0.0)))


def company(holders: csr_matrix) -> csr_matrix:
    """[holders, I] -> [I, holders]: items are alike that are held by the same."""
    return unit_rows(holders.T.tocsr())


def unit_rows(rows: csr_matrix) -> csr_matrix:
    """Each row over its norm."""
    norm = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).ravel())
    scale = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    found = (diags(scale.astype(np.float32)) @ rows).tocsr().astype(np.float32)
    found.eliminate_zeros()
    return found


def mean_rows(held: csr_matrix, rows: csr_matrix) -> csr_matrix:
    """[Q, I] bundles, [I, F] items -> [Q, F], the mean of each bundle's items."""
    size = np.asarray(held.sum(1)).ravel()
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    return (diags(scale.astype(np.float32)) @ held @ rows).tocsr()
