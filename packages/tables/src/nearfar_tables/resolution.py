"""Each set of rows becomes one: where they disagree, the best supported value, and its grounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_tables.canonical import canonical, kind_of
from nearfar_tables.cells import normal_text
from nearfar_tables.truth import METHODS, Claims, vote

__all__ = ["RESOLVERS", "Resolution", "resolve"]

Ints = NDArray[np.int64]
RESOLVERS = (*METHODS, "longest", "first", "random")
FEWEST_SOURCES = 3  # with two, each is as trustworthy as the other


@dataclass(frozen=True)
class Resolution:
    """One row a set, and where each of its cells comes from.

    Attributes:
        table: [sets, columns], types as they were.
        cells: a row for each set and column: ``set``, ``column``, ``value``, ``method``
            (``agreed``, ``absent``, or the resolver), ``confidence``, ``rows`` that say so,
            ``candidates`` and ``support``, the rows for each.
    """

    table: pl.DataFrame
    cells: pl.DataFrame

    @property
    def conflicts(self) -> pl.DataFrame:
        """The cells for which rows say different things."""
        return self.cells.filter(pl.col("candidates").list.len() > 1)


def resolve(
    frame: pl.DataFrame,
    sets: Ints,
    *,
    source: Ints | None = None,
    method: str = "accu",
    kinds: dict[str, str] | None = None,
    seed: int = 0,
) -> Resolution:
    """One value a set and column.

    Values are first brought to the form of their type (:mod:`nearfar_tables.canonical`); the chosen
    one is written as most rows write it.

    Args:
        frame: N rows. sets: [N], from 0, without gaps. source: [N] who says a row; None: its own.
        method: of ``RESOLVERS``. Trust in sources is learnt over all columns together.
        kinds: column -> type, for those that :func:`kind_of` should not guess.

    Raises:
        UserError: an unknown method.
    """
    if method not in RESOLVERS:
        raise UserError(f"resolver {method!r}: expected one of {', '.join(RESOLVERS)}")
    source = np.arange(frame.height) if source is None else source
    count = int(sets.max(initial=-1)) + 1
    # Every value of a set and column is a number; `rows_of` tells who says it.
    numbers: dict[tuple[int, int, str], int] = {}
    rows_of: list[list[int]] = []
    texts = {name: [_text(v) for v in frame[name].to_list()] for name in frame.columns}
    for place, name in enumerate(frame.columns):
        known = (kinds or {}).get(name) or kind_of(filter(None, texts[name]), name)
        for row, text in enumerate(texts[name]):
            form = None if text is None else canonical(text, known)
            if form is not None:
                number = numbers.setdefault((int(sets[row]), place, form), len(numbers))
                if number == len(rows_of):
                    rows_of.append([])
                rows_of[number].append(row)
    values_of: dict[tuple[int, int], list[int]] = {}
    for (number_of_set, place, _), number in numbers.items():
        values_of.setdefault((number_of_set, place), []).append(number)
    confidence, used = _confidence(rows_of, values_of, source, method, seed, frame, texts)

    chosen: dict[str, list[int | None]] = {name: [] for name in frame.columns}
    grounds: list[tuple[object, ...]] = []
    for place, name in enumerate(frame.columns):
        own = texts[name]
        for number_of_set in range(count):
            values = values_of.get((number_of_set, place), [])
            if not values:
                chosen[name].append(None)
                grounds.append((number_of_set, name, None, "absent", 1.0, [], [], []))
                continue
            values = sorted(values, key=lambda v: (-confidence[v], -len(rows_of[v]), rows_of[v][0]))
            shown = [_surface(own, rows_of[v]) for v in values]
            chosen[name].append(shown[0])
            grounds.append(
                (
                    number_of_set, name, own[shown[0]], used if len(values) > 1 else "agreed",
                    float(confidence[values[0]]) if len(values) > 1 else 1.0, rows_of[values[0]],
                    [own[row] for row in shown], [len(rows_of[v]) for v in values],
                )
            )  # fmt: skip
    table = frame.select(
        frame[name].gather(pl.Series(chosen[name], dtype=pl.UInt32)).alias(name)
        for name in frame.columns
    )
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "set": pl.Int64, "column": pl.String, "value": pl.String, "method": pl.String,
        "confidence": pl.Float64, "rows": pl.List(pl.Int64), "candidates": pl.List(pl.String),
        "support": pl.List(pl.Int64),
    }  # fmt: skip
    return Resolution(table, pl.DataFrame(grounds, schema=schema, orient="row"))


def _confidence(
    rows_of: list[list[int]],
    values_of: dict[tuple[int, int], list[int]],
    source: Ints,
    method: str,
    seed: int,
    frame: pl.DataFrame,
    texts: dict[str, list[str | None]],
) -> tuple[NDArray[np.float64], str]:
    """Of each value, and the method that gave it."""
    item_of = np.zeros(len(rows_of), dtype=np.int64)
    length = np.zeros(len(rows_of))
    for item, ((_, place), values) in enumerate(values_of.items()):
        item_of[values] = item
        own = texts[frame.columns[place]]
        for number in values:
            length[number] = max(len(own[row] or "") for row in rows_of[number])
    value = np.repeat(np.arange(len(rows_of)), [len(rows) for rows in rows_of])
    row = np.array([r for rows in rows_of for r in rows], dtype=np.int64)
    if method == "longest":
        return length / max(length.max(initial=1), 1), method
    if method == "first":
        return np.array([1 / (1 + min(source[rows])) for rows in rows_of]), method
    if method == "random":
        return np.random.default_rng(seed).random(len(rows_of)), method
    _, speaker = np.unique(source[row], return_inverse=True)
    claims = Claims(item_of[value], speaker, value)
    if method != "vote" and claims.sources < FEWEST_SOURCES:
        return vote(claims), "vote"
    return METHODS[method](claims), method


def _text(value: object) -> str | None:
    return None if value is None or not normal_text(value) else str(value)


def _surface(texts: list[str | None], rows: list[int]) -> int:
    """The row that writes the value as most do; of equals the longest, then the first."""
    counts = Counter(texts[row] for row in rows)
    best = max(counts, key=lambda text: (counts[text], len(text or "")))
    return next(row for row in rows if texts[row] == best)
