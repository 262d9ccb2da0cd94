"""Which columns of different tables are one."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

from nearfar_kit.errors import UserError
from nearfar_tables.source import SourceTable

__all__ = ["Alignment", "Apart", "Suggestion", "align", "left_apart", "suggest_alignment"]

Alignment = dict[str, dict[str, str]]  # table -> its column -> column of the union

APART = 0.3  # names that have nothing in common leave half of the score to the values
MOST = 2**20  # pairs of columns of two tables: more are not compared
SAMPLE = 2000  # distinct values of a column that a suggestion looks at


@dataclass(frozen=True)
class Suggestion:
    """Two columns that look alike, and how much (0 to 1)."""

    left: tuple[str, str]  # table, column
    right: tuple[str, str]
    score: float


@dataclass(frozen=True)
class Apart:
    """A column that stands in one table alone, though it looks like another table's ``union``."""

    table: str
    column: str
    union: str

    @property
    def option(self) -> str:
        """What makes the two one."""
        return "--align " + shlex.quote(f"{self.table}.{self.column}={self.union}")

    def __str__(self) -> str:
        return (
            f"column {self.column} of {self.table} is in no other table and looks like "
            f"{self.union}: {self.option} makes them one"
        )


def align(
    sources: Sequence[SourceTable], columns: Mapping[str, Mapping[str, str]] | None = None
) -> Alignment:
    """Columns of one name are one: letter case, blanks and underlines aside.

    Args:
        columns: table -> its column -> name in the union, for those that differ.

    Raises:
        UserError: ``columns`` names a table or column that is not there, or two columns of a table
            become one.
    """
    given = {name: dict(own) for name, own in (columns or {}).items()}
    known = {source.name: source.frame.columns for source in sources}
    for name, own in given.items():
        if name not in known:
            raise UserError(f"alignment: no table {name!r}; expected some of {', '.join(known)}")
        for column in own:
            if column not in known[name]:
                raise UserError(
                    f"alignment: table {name} has no column {column!r}; "
                    f"expected some of {', '.join(known[name])}"
                )
    # A name that the caller chose stands; after it, the first spelling met.
    spelling = {_key(chosen): chosen for own in given.values() for chosen in own.values()}
    alignment: Alignment = {}
    for name, names in known.items():
        mine = given.get(name, {})
        alignment[name] = {
            column: mine.get(column) or spelling.setdefault(_key(column), column)
            for column in names
        }
        to = list(alignment[name].values())
        times = Counter(to)
        twice = next((column for column in to if times[column] > 1), None)
        if twice is not None:
            both = [column for column, union in alignment[name].items() if union == twice]
            raise UserError(
                f"alignment: columns {' and '.join(both)} of table {name} both become {twice!r}; "
                "expected one at most, say which by a map"
            )
    return alignment


def suggest_alignment(sources: Sequence[SourceTable], *, least: float = 0.5) -> list[Suggestion]:
    """Pairs of columns with other names that hold alike values, best first.

    Half the score is the cosine between the columns' values as bags of words and character
    3-grams, half that between their names; of two tables each column is taken once (Hungarian
    assignment). Nothing is aligned by it: pass what is right to :func:`align`. Of two tables of a
    thousand columns each nothing is looked at.
    """
    vectors = {source.name: _column_vectors(source) for source in sources}
    found = []
    for left, right in combinations(sources, 2):
        if not 0 < left.frame.width * right.frame.width <= MOST:
            continue
        scores = (vectors[left.name] @ vectors[right.name].T).toarray() / 2
        for i, j in zip(*linear_sum_assignment(-scores), strict=True):
            a, b = left.frame.columns[i], right.frame.columns[j]
            if scores[i, j] >= least and _key(a) != _key(b):
                score = round(float(scores[i, j]), 4)
                found.append(Suggestion((left.name, a), (right.name, b), score))
    return sorted(found, key=lambda s: -s.score)


def left_apart(sources: Sequence[SourceTable], alignment: Alignment) -> list[Apart]:
    """The columns that an alignment leaves in one table alone, though they look like one of another
    table; all of them can be joined at once."""
    holders: dict[str, list[str]] = {}
    for table, own in alignment.items():
        for union in own.values():
            holders.setdefault(union, []).append(table)
    told: dict[tuple[str, str], Apart] = {}
    given: set[tuple[str, str]] = set()  # of a table one column alone can be called so
    for found in suggest_alignment(sources, least=APART):
        # Of two that both stand alone, the later table's takes the earlier one's name.
        for (table, column), (other, like) in (
            (found.right, found.left),
            (found.left, found.right),
        ):
            union = alignment[other][like]
            alone = holders[alignment[table][column]] == [table] and table not in holders[union]
            free = (table, union) not in given
            if alone and free and not {found.left, found.right} & told.keys():
                told[table, column] = Apart(table, column, union)
                given.add((table, union))
    return list(told.values())


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.strip().casefold()).strip("_") or name


def _column_vectors(source: SourceTable) -> csr_array:
    """[columns, buckets]: what a column holds beside what it is called, each of unit norm."""
    values, names = [], []
    for name in source.frame.columns:
        distinct = source.frame[name].drop_nulls().unique(maintain_order=True).head(SAMPLE)
        values.append(" ".join(str(value) for value in distinct.to_list())[: 1 << 18])
        names.append(_key(name).replace("_", " "))
    grams = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 3), alternate_sign=False)
    words = HashingVectorizer(token_pattern=r"[^\W_]+", alternate_sign=False)
    held = normalize(hstack([grams.transform(values), words.transform(values)]))
    return csr_array(hstack([held, normalize(grams.transform(names))]))
