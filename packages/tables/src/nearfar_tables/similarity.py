"""How alike two rows are, attribute by attribute: the features of the matcher's head.

Per attribute: cosine of words and of character 3-grams (TF-IDF over the column), share of the
shorter value's words that the other holds, Jaro-Winkler, nearness of numbers and of days. Per pair
of rows: the first three over all cells together, which finds values that stand in another column,
and agreement of the tokens that hold a digit (model numbers, years).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from sklearn.preprocessing import normalize

from nearfar_tables.cells import BUCKETS, Cells

__all__ = ["ATTRIBUTE", "RECORD", "PairFeatures", "Similarity"]

ATTRIBUTE = ("words", "grams", "held", "jaro_winkler", "number", "day")
RECORD = ("words", "grams", "held", "shared_codes", "foreign_codes")
CHUNK = 1 << 16  # rows at a time
DAYS = 365.0


@dataclass(frozen=True)
class PairFeatures:
    """Similarities of P pairs over m attributes.

    Attributes:
        attribute: [P, m, 6] in the order of ``ATTRIBUTE``, 0 to 1; NaN where it cannot be had.
        record: [P, 5] in the order of ``RECORD``, 0 to 1.
    """

    attribute: NDArray[np.float32]
    record: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.record)


class Similarity:
    """Similarities whose weights of words come from one table."""

    def __init__(self, cells: Cells) -> None:
        self.word_weights = [
            _idf(cells.words, cells.codes[:, c]) for c in range(len(cells.columns))
        ]
        self.gram_weights = [
            _idf(cells.grams, cells.codes[:, c]) for c in range(len(cells.columns))
        ]
        words, grams = np.zeros(BUCKETS), np.zeros(BUCKETS)
        for start in range(0, len(cells.codes), CHUNK):
            incidence = _incidence(cells.codes[start : start + CHUNK], len(cells.values))
            words += np.asarray((incidence @ cells.words).sign().sum(0)).ravel()
            grams += np.asarray((incidence @ cells.grams).sign().sum(0)).ravel()
        self.row_word_weights = _smooth(words, len(cells.codes))
        self.row_gram_weights = _smooth(grams, len(cells.codes))

    def weights(self) -> dict[str, Any]:
        """All that the table has left here, by name."""
        return vars(self)

    @classmethod
    def of_weights(cls, **weights: Any) -> Similarity:
        """From :meth:`weights`."""
        own = cls.__new__(cls)
        names = {"word_weights", "gram_weights", "row_word_weights", "row_gram_weights"}
        if weights.keys() != names:
            raise ValueError(f"weights {sorted(weights)}; expected {sorted(names)}")
        vars(own).update(weights)
        return own

    def features(self, cells: Cells, pairs: NDArray[np.int64]) -> PairFeatures:
        """Features of pairs [P, 2] of rows of ``cells``; symmetric in the two rows."""
        attribute = np.full((len(pairs), len(cells.columns), len(ATTRIBUTE)), np.nan, np.float32)
        for column in range(len(cells.columns)):
            self._attribute(cells, pairs, column, attribute[:, column])
        return PairFeatures(attribute, self._record(cells, pairs))

    def _attribute(
        self, cells: Cells, pairs: NDArray[np.int64], column: int, out: NDArray[np.float32]
    ) -> None:
        own = cells.codes[pairs, column]  # P x 2
        own.sort(axis=1)  # Jaro-Winkler is not symmetric
        known = np.flatnonzero((own >= 0).all(1))
        # A pair of values is compared once, however many rows hold it.
        number = own[known] @ np.array([len(cells.values), 1])
        number, where = np.unique(number, return_inverse=True)
        distinct = np.stack(np.divmod(number, max(len(cells.values), 1)), axis=1)
        if not len(distinct):
            return
        found = np.full((len(distinct), len(ATTRIBUTE)), np.nan, np.float32)
        words = _scaled(cells.words, self.word_weights[column])
        grams = _scaled(cells.grams, self.gram_weights[column])
        held = cells.words.sign() @ diags_array(self.word_weights[column])
        i, j = distinct.T
        found[:, 0] = _dots(words, i, words, j)
        found[:, 1] = _dots(grams, i, grams, j)
        found[:, 2] = _held(held, cells.words.sign(), i, j)
        found[:, 3] = _jaro_winkler(cells, distinct)
        found[:, 4] = _near_numbers(cells.numbers[i], cells.numbers[j])
        found[:, 5] = np.clip(1 - np.abs(cells.days[i] - cells.days[j]) / DAYS, 0, 1)
        out[known] = found[where.ravel()]

    def _record(self, cells: Cells, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        incidence = _incidence(cells.codes, len(cells.values))
        words, grams = incidence @ cells.words, incidence @ cells.grams
        scaled_words = _scaled(words, self.row_word_weights)
        scaled_grams = _scaled(grams, self.row_gram_weights)
        sign = words.sign()
        weighted = sign @ diags_array(self.row_word_weights)
        codes = incidence.sign() @ cells.digit_words
        i, j = pairs.T
        shared = _dots(codes.sign(), i, codes.sign(), j)
        total = np.asarray(codes.sign().sum(1)).ravel()
        least = np.minimum(total[i], total[j])
        return np.stack(
            [
                _dots(scaled_words, i, scaled_words, j),
                _dots(scaled_grams, i, scaled_grams, j),
                _held(weighted, sign, i, j),
                shared / np.maximum(least, 1),
                (least - shared) / np.maximum(least, 1),
            ],
            axis=1,
        ).astype(np.float32)


def _incidence(codes: NDArray[np.int64], values: int) -> csr_array:
    """[rows, V]: how often a row holds a value."""
    rows, _ = np.nonzero(codes >= 0)
    held = codes[codes >= 0]
    return csr_array((np.ones(len(rows)), (rows, held)), shape=(len(codes), values))


def _idf(counts: csr_array, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Smoothed inverse document frequency over the rows that hold a value."""
    times = np.bincount(codes[codes >= 0], minlength=counts.shape[0])
    return _smooth(counts.sign().T @ times.astype(float), times.sum())


def _smooth(frequency: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.log((1 + total) / (1 + frequency)) + 1
    return weights


def _scaled(counts: csr_array, weights: NDArray[np.float64]) -> csr_array:
    """Sublinear TF-IDF rows of unit norm."""
    damped = counts.astype(float)
    damped.data = 1 + np.log(damped.data)
    return csr_array(normalize(damped @ diags_array(weights)))


def _dots(
    x: csr_array, i: NDArray[np.int64], y: csr_array, j: NDArray[np.int64]
) -> NDArray[np.float64]:
    return np.asarray(x[i].multiply(y[j]).sum(1)).ravel()


def _held(
    weighted: csr_array, sign: csr_array, i: NDArray[np.int64], j: NDArray[np.int64]
) -> NDArray[np.float64]:
    total = np.asarray(weighted.sum(1)).ravel()
    least = np.minimum(total[i], total[j])
    share: NDArray[np.float64] = _dots(weighted, i, sign, j) / np.maximum(least, 1e-9)
    return share


def _near_numbers(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-9)
    near: NDArray[np.float64] = np.clip(1 - np.abs(a - b) / scale, 0, 1)
    return near


def _jaro_winkler(cells: Cells, distinct: NDArray[np.int64]) -> NDArray[np.float64]:
    texts = pl.Series([value[:100] for value in cells.values], dtype=pl.String)
    pairs = pl.DataFrame({"a": texts.gather(distinct[:, 0]), "b": texts.gather(distinct[:, 1])})
    with duckdb.connect() as database:
        database.register("pairs", pairs.to_arrow())
        found = database.execute("SELECT jaro_winkler_similarity(a, b) AS s FROM pairs")
        return np.asarray(found.fetchnumpy()["s"], dtype=np.float64)
