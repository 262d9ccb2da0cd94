"""Each set of rows becomes one: where they disagree, the best supported value, and its grounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_tables.canonical import canonical, kind_of
from nearfar_tables.cells import texts_of
from nearfar_tables.truth import METHODS, Claims

__all__ = ["PRIORITY", "RESOLVERS", "Resolution", "ranks", "resolve"]

Ints = NDArray[np.int64]
RESOLVERS = (*METHODS, "longest", "first", "random")
PRIORITY = "priority"  # the method of a cell that the order of tables decides
FEWEST_SOURCES = 3  # with two, each is as trustworthy as the other


@dataclass(frozen=True)
class Resolution:
    """One row a set, and where each of its cells comes from.

    Attributes:
        table: [sets, columns], types as they were.
        cells: a row for each set and column: ``set``, ``column``, ``value``, ``method``
            (``agreed``, ``absent``, ``priority``, or the resolver), ``confidence``, ``rows`` that
            say so, ``candidates`` and ``support``, the rows for each.
    """

    table: pl.DataFrame
    cells: pl.DataFrame

    @property
    def conflicts(self) -> pl.DataFrame:
        """The cells for which rows say different things."""
        return self.cells.filter(pl.col("candidates").list.len() > 1)

    @property
    def open(self) -> pl.Series:
        """[cells]: for which rows say different things and no order of tables decides."""
        return self.cells.select(
            (pl.col("candidates").list.len() > 1) & (pl.col("method") != PRIORITY)
        ).to_series()


def ranks(names: pl.Series, priority: Sequence[str]) -> Ints:
    """[N]: how trusted each row's table is: 0 most, alike those that ``priority`` does not name.

    Args:
        names: [N] of tables.

    Raises:
        UserError: a table of ``priority`` is not there.
    """
    there = names.unique(maintain_order=True).to_list()
    for name in priority:
        if name not in there:
            raise UserError(f"priority: no table {name!r}; expected some of {', '.join(there)}")
    order = {name: place for place, name in enumerate(dict.fromkeys(priority))}
    placed = names.replace_strict(order, default=len(order), return_dtype=pl.Int64)
    return placed.to_numpy()


def resolve(
    frame: pl.DataFrame,
    sets: Ints,
    *,
    source: Ints | None = None,
    method: str = "accu",
    kinds: dict[str, str] | None = None,
    rank: Ints | None = None,
    seed: int = 0,
) -> Resolution:
    """One value a set and column.

    Values are first brought to the form of their type (:mod:`nearfar_tables.canonical`); the chosen
    one is written as most rows write it.

    Args:
        frame: N rows. sets: [N], from 0, without gaps. source: [N] who says a row; None: its own.
        method: of ``RESOLVERS``. Trust in sources is learnt over all columns together.
        kinds: column -> type, for those that :func:`kind_of` should not guess.
        rank: [N] of :func:`ranks`: between values the resolver decides only where rows of the
            least rank say several.

    Raises:
        UserError: an unknown method.
    """
    if method not in RESOLVERS:
        raise UserError(f"resolver {method!r}: expected one of {', '.join(RESOLVERS)}")
    source = np.arange(frame.height) if source is None else source
    trusted = np.zeros(frame.height, np.int64) if rank is None else rank
    values = pl.concat(
        _values(texts_of(frame[name]), sets, trusted, place, (kinds or {}).get(name))
        for place, name in enumerate(frame.columns)
    )
    confidence, used = _confidence(values, source, method, seed)
    # Of each set and column the values, the best first.
    order = ("place", "set", "rank", -pl.col("confidence"), -pl.col("support"), "first")
    cells = (
        values.with_columns(confidence=confidence)
        .sort(order)
        .group_by("place", "set", maintain_order=True)
        .agg(
            pl.col("text").first().alias("value"), pl.col("confidence").first(),
            pl.col("rows").first(), pl.col("text").alias("candidates"), pl.col("support"),
            pl.col("surface").first(),
            (pl.col("rank") == pl.col("rank").first()).sum().alias("equals"),
        )
    )  # fmt: skip
    every = pl.DataFrame({"set": np.arange(int(sets.max(initial=-1)) + 1)}).join(
        pl.DataFrame({"place": np.arange(frame.width)}), how="cross"
    )
    cells = every.join(cells, on=("place", "set"), how="left").sort("place", "set")
    many = pl.col("candidates").list.len()
    empty = pl.lit([], dtype=pl.List(pl.Int64))
    told = cells.select(
        "set",
        pl.Series("column", frame.columns, dtype=pl.String).gather(cells["place"]),
        "value",
        method=pl.when(many.is_null()).then(pl.lit("absent"))
        .when((many > 1) & (pl.col("equals") == 1))
        .then(pl.lit(PRIORITY)).when(many > 1).then(pl.lit(used)).otherwise(pl.lit("agreed")),
        confidence=pl.when(many > 1).then("confidence").otherwise(1.0),
        rows=pl.col("rows").fill_null(empty),
        candidates=pl.col("candidates").fill_null(pl.lit([], dtype=pl.List(pl.String))),
        support=pl.col("support").fill_null(empty),
    )  # fmt: skip
    table = frame.select(
        frame[name].gather(cells.filter(pl.col("place") == place)["surface"])
        for place, name in enumerate(frame.columns)
    )
    return Resolution(table, told)


def _values(texts: pl.Series, sets: Ints, rank: Ints, place: int, kind: str | None) -> pl.DataFrame:
    """What each set says of a column: a row for each form, by its first row.

    Returns:
        ``place``, ``set``, ``first``, ``rows``, ``support`` (how many) and the least ``rank``;
        ``surface``, the row that writes it as most of that rank do (of equals the longest, then
        the first), its ``text``, and ``length``, that of the longest way of writing it.
    """
    distinct = texts.unique(maintain_order=True).drop_nulls().to_list()
    kind = kind or kind_of(distinct, texts.name)
    forms = pl.DataFrame(
        {"text": distinct, "form": [canonical(text, kind) for text in distinct]},
        schema={"text": pl.String, "form": pl.String},
    )
    said = pl.DataFrame(
        {"set": sets, "row": np.arange(len(sets)), "rank": rank, "text": texts}
    ).join(forms.drop_nulls(), on="text")
    ways = (
        said.group_by("set", "form", "rank", "text")
        .agg(pl.col("row").min().alias("surface"), pl.len().alias("times"))
        .with_columns(length=pl.col("text").str.len_chars().cast(pl.Int64))
        .sort("rank", -pl.col("times").cast(pl.Int64), -pl.col("length"), "surface")
        .group_by("set", "form", maintain_order=True)
        .agg(pl.col("surface", "text").first(), pl.col("length").max())
    )
    rows = (
        said.sort("row").group_by("set", "form", maintain_order=True)
        .agg(
            pl.col("row").alias("rows"), pl.len().cast(pl.Int64).alias("support"),
            pl.col("rank").min(),
        )
        .with_columns(first=pl.col("rows").list.first())
    )  # fmt: skip
    return (
        rows.join(ways, on=("set", "form"))
        .sort("first")
        .select(
            pl.lit(place, dtype=pl.Int64).alias("place"), "set", "first", "rows", "support",
            "rank", "surface", "text", "length",
        )
    )  # fmt: skip


def _confidence(
    values: pl.DataFrame, source: Ints, method: str, seed: int
) -> tuple[pl.Series, str]:
    """Of each value, and the method that gave it."""
    if method == "longest":
        return values["length"] / max(values["length"].to_numpy().max(initial=1), 1), method
    rows = values["rows"].explode().drop_nulls().to_numpy()
    value = np.repeat(np.arange(values.height), values["support"].to_numpy())
    if method == "first":
        best = np.full(values.height, np.iinfo(np.int64).max)
        np.minimum.at(best, value, source[rows])
        return pl.Series(1 / (1 + best)), method
    if method == "random":
        return pl.Series(np.random.default_rng(seed).random(values.height)), method
    item = values.select(pl.struct("place", "set").rank("dense")).to_series().to_numpy() - 1
    _, speaker = np.unique(source[rows], return_inverse=True)
    claims = Claims(item.astype(np.int64)[value], speaker, value)
    if method != "vote" and claims.sources < FEWEST_SOURCES:
        method = "vote"
    return pl.Series(METHODS[method](claims)), method
