"""Cells by value: each distinct text is normalised, parsed and counted once.

A value's vector counts hashed words and character 3-grams, half of the buckets for each: no
vocabulary to fit, so rows that come later lie in the same space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from dateutil import parser
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import HashingVectorizer

__all__ = ["Cells", "day_of", "hashed_counts", "normal_text", "number_of", "texts_of"]

BUCKETS = 1 << 14  # of words, and as many of 3-grams
LONGEST = 2000  # characters of a cell that are compared; the cell itself is kept whole

COUNTS = ("words", "grams", "digit_words")
PARSED = ("numbers", "days")

NUMBER = re.compile(r"^[^\w.+-]*([+-]?(?:\d[\d,]*+\.?\d*|\.\d+))\s*[^\d]{0,12}$")
DATED = re.compile(
    r"(?i)\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|^\d{1,4}[-/.]\d+[-/.]\d+"
)


def normal_text(value: object) -> str:
    """Lower case, quotes and repeated blanks gone: what comparison sees of a cell."""
    text = re.sub(r"[`'\"\\]", " ", str(value)[:LONGEST].casefold())
    return re.sub(r"\s+", " ", text).strip()


def texts_of(column: pl.Series) -> pl.Series:
    """A column as text, cell by cell as Python writes it; NULL stays NULL."""
    if column.dtype == pl.String:
        return column
    texts = [None if value is None else str(value) for value in column.to_list()]
    return pl.Series(column.name, texts, dtype=pl.String)


def number_of(text: str) -> float:
    """The number that a text is, currency before and unit after it aside; NaN where it is none."""
    found = NUMBER.match(text)
    return float(found[1].replace(",", "")) if found else np.nan


def day_of(text: str) -> float:
    """The day that a text names, counted from year 1; NaN where it names none."""
    if len(text) > 30 or not DATED.search(text):
        return np.nan
    try:
        return float(parser.parse(text, default=_NEW_YEAR).date().toordinal())
    except (ValueError, OverflowError, TypeError):
        return np.nan


_NEW_YEAR = datetime(2000, 1, 1)


@dataclass(frozen=True)
class Cells:
    """A table's cells by value.

    Attributes:
        columns: m names.
        values: V distinct normalised texts.
        codes: [N, m], which value stands there; -1: NULL.
    """

    columns: tuple[str, ...]
    values: tuple[str, ...]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Cells:
        """Cells of a frame; a text of blanks alone is NULL."""
        columns = []
        for name in frame.columns:
            texts = texts_of(frame[name]).to_list()
            # Each distinct text is normalised once: a column of a million rows repeats itself.
            normal = {text: text and normal_text(text) for text in dict.fromkeys(texts)}
            columns.append([normal[text] for text in texts])
        return cls.of_texts(tuple(frame.columns), columns)

    @classmethod
    def of_texts(cls, columns: tuple[str, ...], texts: Sequence[Sequence[str | None]]) -> Cells:
        """Cells of normalised texts, a list a column."""
        numbers: dict[str, int] = {}
        rows = len(texts[0]) if texts else 0
        codes = np.full((rows, len(columns)), -1, dtype=np.int64)
        for place, column in enumerate(texts):
            codes[:, place] = [numbers.setdefault(t, len(numbers)) if t else -1 for t in column]
        return cls(columns, tuple(numbers), codes)

    def texts(self, column: int) -> list[str | None]:
        """One column's normalised texts."""
        return [None if code < 0 else self.values[code] for code in self.codes[:, column].tolist()]

    def part(self, rows: NDArray[np.int64]) -> Cells:
        """Some rows' cells, in the order given, with what has been counted of their values."""
        own = self.codes[rows]
        used, local = np.unique(own, return_inverse=True)
        absent = int(np.searchsorted(used, 0))  # one where a cell is NULL
        used, local = used[absent:], local.reshape(own.shape) - absent
        part = Cells(self.columns, tuple(self.values[value] for value in used.tolist()), local)
        vars(part).update({name: getattr(self, name)[used] for name in (*COUNTS, *PARSED)})
        return part

    def save(self, folder: Path) -> None:
        """Into files that several processes can read at once, each what it needs of them."""
        pl.DataFrame({"value": self.values}, schema={"value": pl.String}).write_ipc(
            folder / "values.arrow"
        )
        np.save(folder / "codes.npy", self.codes)
        for name in COUNTS:
            counts = getattr(self, name)
            for what in ("data", "indices", "indptr"):
                np.save(folder / f"{name}-{what}.npy", getattr(counts, what))
        for name in PARSED:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def open(cls, folder: Path, columns: tuple[str, ...]) -> Cells:
        """Of :meth:`save`; numbers stay on disk until they are looked at."""

        def read(name: str) -> Any:
            return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

        values = tuple(pl.read_ipc(folder / "values.arrow")["value"].to_list())
        cells = cls(columns, values, read("codes"))
        for name in COUNTS:
            matrix = tuple(read(f"{name}-{what}") for what in ("data", "indices", "indptr"))
            vars(cells)[name] = csr_array(matrix, shape=(len(values), BUCKETS), copy=False)
        vars(cells).update({name: read(name) for name in PARSED})
        return cells

    @cached_property
    def words(self) -> csr_array:
        """[V, BUCKETS] counts of words."""
        return hashed_counts(self.values, token_pattern=r"[^\W_]+")

    @cached_property
    def grams(self) -> csr_array:
        """[V, BUCKETS] counts of character 3-grams within words."""
        return hashed_counts(self.values, analyzer="char_wb", ngram_range=(3, 3))

    @cached_property
    def digit_words(self) -> csr_array:
        """[V, BUCKETS] counts of words that hold a digit, of two or more characters."""
        return hashed_counts(self.values, token_pattern=r"[^\W_]*\d[^\W_]+|[^\W_]+\d[^\W_]*")

    @cached_property
    def both(self) -> csr_array:
        """[V, 2 BUCKETS]: words beside 3-grams, what the matcher's projection reads."""
        return csr_array(hstack([self.words, self.grams]))

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """[V] the numbers that values are; NaN where they are none."""
        return np.array([number_of(value) for value in self.values], dtype=np.float64)

    @cached_property
    def days(self) -> NDArray[np.float64]:
        """[V] the days that values name; NaN where they name none."""
        return np.array([day_of(value) for value in self.values], dtype=np.float64)


def hashed_counts(values: Sequence[str], **how: object) -> csr_array:
    """[V, BUCKETS] counts of what :class:`HashingVectorizer` finds by ``how``."""
    if not values:
        return csr_array((0, BUCKETS))
    hashing = HashingVectorizer(n_features=BUCKETS, norm=None, alternate_sign=False, **how)
    return csr_array(hashing.transform(values))
