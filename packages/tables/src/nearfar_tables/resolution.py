"""Each set of rows becomes one: where they disagree, the best supported value, and its grounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_tables.canonical import canonical, kind_of, left_out, nested
from nearfar_tables.cells import texts_of
from nearfar_tables.truth import METHODS, Claims

__all__ = ["PRIORITY", "RESOLVERS", "Resolution", "ranks", "resolve"]

Ints = NDArray[np.int64]
RESOLVERS = (*METHODS, "longest", "first", "random")
PRIORITY = "priority"  # the method of a cell that the order of tables decides
SPELLING = "spelling"  # of one whose other value looks like a slip of the finger
NEAR = 0.8  # share of equal characters from which on one value may be a slip of the other
FEWEST_SOURCES = 3  # with two, each is as trustworthy as the other


@dataclass(frozen=True)
class Resolution:
    """One row a set, and where each of its cells comes from.

    Attributes:
        table: [sets, columns], types as they were.
        cells: a row for each set and column: ``set``, ``column``, ``value``, ``method``
            (``agreed``, ``absent``, ``priority``, ``spelling``, or the resolver), ``confidence``,
            ``rows`` that say so, ``candidates`` and ``support``, the rows for each; ``writings``,
            every text that stands there, where candidates are written in several ways.
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

    Values are first brought to the form of their type (:mod:`nearfar_tables.canonical`), and claims
    are of forms. Rows of one form that contradict each other in what it leaves out (``12 kg`` and
    ``12 lb``) are candidates of their own, the form's confidence shared out among them. The chosen
    value is written as most rows write it. Of two that are equally sure and nearly alike, one with
    a word that no other set has is taken for a slip of the finger (``spelling``).

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
    values = values.with_columns(confidence=confidence).with_columns(
        own=pl.col("confidence") * pl.col("support") / pl.col("votes")
    )
    # Of each set and column the values, the best first; readings of one form beside each other.
    sure = ("place", "set", "rank", -pl.col("confidence"), -pl.col("votes"))
    order = (*sure, "claim", -pl.col("support"), "first")
    values = _slips_last(values.sort(order))
    cells = (
        values.group_by("place", "set", maintain_order=True)
        .agg(
            pl.col("text").first().alias("value"), pl.col("own").first().alias("confidence"),
            pl.col("rows").first(), pl.col("text").alias("candidates"), pl.col("support"),
            pl.col("surface", "slip").first(), pl.col("claim").n_unique().alias("forms"),
            (pl.col("rank") == pl.col("rank").first()).sum().alias("equals"),
            pl.col("others").explode().drop_nulls(),
        )
        .with_columns(
            writings=pl.when(pl.col("others").list.len() > 0)
            .then(pl.concat_list("candidates", "others"))
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
        .when((many > 1) & (pl.col("equals") == 1)).then(pl.lit(PRIORITY))
        .when(pl.col("slip")).then(pl.lit(SPELLING))
        .when(pl.col("forms") > 1).then(pl.lit(used))
        .when(many > 1).then(pl.lit("vote")).otherwise(pl.lit("agreed")),
        confidence=pl.when(many > 1).then("confidence").otherwise(1.0),
        rows=pl.col("rows").fill_null(empty),
        candidates=pl.col("candidates").fill_null(pl.lit([], dtype=pl.List(pl.String))),
        support=pl.col("support").fill_null(empty),
        writings=pl.col("writings").fill_null(pl.lit([], dtype=pl.List(pl.String))),
    )  # fmt: skip
    table = frame.select(
        frame[name].gather(cells.filter(pl.col("place") == place)["surface"])
        for place, name in enumerate(frame.columns)
    )
    return Resolution(table, told)


def _values(texts: pl.Series, sets: Ints, rank: Ints, place: int, kind: str | None) -> pl.DataFrame:
    """What each set says of a column: a row for each form, or reading of one, by its first row.

    Returns:
        ``place``, ``set``, ``first``, ``rows``, ``support`` (how many) and the least ``rank``;
        ``claim``, the form, told apart by its first row, and ``votes``, the rows for that;
        ``surface``, the row that writes it as most of that rank do (of equals the longest, then
        the first), its ``text``, ``others``, how else it is written, and ``length``, that of the
        longest;
        ``form``, and those of its words that are ``alone``: no other set has them in this column.
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
    )
    ways, said = _with_readings(ways, said, kind)
    own = ("set", "form", "reading")
    written = ways.group_by(own, maintain_order=True).agg(
        pl.col("surface", "text").first(),
        pl.col("text").unique(maintain_order=True).slice(1).alias("others"),
        pl.col("length").max(),
    )  # fmt: skip
    rows = (
        said.sort("row").group_by(own, maintain_order=True)
        .agg(
            pl.col("row").alias("rows"), pl.len().cast(pl.Int64).alias("support"),
            pl.col("rank").min(),
        )
        .with_columns(first=pl.col("rows").list.first())
        .with_columns(
            claim=pl.col("first").min().over("set", "form"),
            votes=pl.col("support").sum().over("set", "form"),
        )
    )  # fmt: skip
    return (
        rows.join(written, on=own)
        .join(_alone(rows, kind), on="form")
        .sort("first")
        .select(
            pl.lit(place, dtype=pl.Int64).alias("place"), "set", "first", "rows", "support",
            "rank", "claim", "votes", "surface", "text", "others", "length", "alone", "form",
        )
    )  # fmt: skip


def _with_readings(
    ways: pl.DataFrame, said: pl.DataFrame, kind: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both with the number of a text's ``reading``: those of one set and form differ where what the
    form leaves out contradicts; the first is that of the way that comes first."""
    several = ways.filter(pl.len().over("set", "form") > 1) if kind != "text" else ways.clear()
    apart = {text: left_out(text, kind) for text in several["text"].unique().to_list()}
    held: dict[tuple[int, str], list[frozenset[str]]] = {}
    numbers: dict[tuple[int, str, str], int] = {}
    for key in several.select("set", "form", "text").iter_rows() if any(apart.values()) else ():
        own, beside = held.setdefault(key[:2], []), apart[key[2]]
        found = next((n for n, other in enumerate(own) if nested(beside, other)), len(own))
        if found == len(own):
            own.append(beside)
        own[found] |= beside
        numbers.setdefault(key, found)
    split = [(*key, number) for key, number in numbers.items() if number]
    if not split:
        none = pl.lit(0, dtype=pl.Int64).alias("reading")
        return ways.with_columns(none), said.with_columns(none)
    own_key = ("set", "form", "text")
    told = pl.DataFrame(
        split, schema={**{name: ways.schema[name] for name in own_key}, "reading": pl.Int64},
        orient="row",
    )  # fmt: skip
    ways, said = (
        part.join(told, on=own_key, how="left", maintain_order="left").with_columns(
            pl.col("reading").fill_null(0)
        )
        for part in (ways, said)
    )
    return ways, said


def _alone(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Each ``form`` and its words that are ``alone``, in one set; none where it is no text."""
    if kind != "text":
        none = pl.lit([], dtype=pl.List(pl.String))
        return rows.select("form").unique(maintain_order=True).with_columns(alone=none)
    words = rows.select("set", "form", word=pl.col("form").str.split(" ")).explode("word")
    once = pl.col("set").n_unique().over("word") == 1
    return (
        words.with_columns(once=once)
        .group_by("form", maintain_order=True)
        .agg(pl.col("word").filter(pl.col("once")).unique(maintain_order=True).alias("alone"))
    )


def _slips_last(values: pl.DataFrame) -> pl.DataFrame:
    """Of two values of a cell that are equally sure, the first goes behind where it looks like a
    slip of the finger: ``slip`` in the row that then leads.

    Args:
        values: in order.
    """
    kept = values.drop("form", "alone")
    # A row and the next one, where that is of the same cell, as sure, and of another form.
    after = pl.col("place", "set", "rank", "confidence", "votes")
    leads = (pl.col("place") != pl.col("place").shift()) | (pl.col("set") != pl.col("set").shift())
    tied = values.select(
        leads.fill_null(True)
        & pl.all_horizontal(after == after.shift(-1))
        & (pl.col("claim") != pl.col("claim").shift(-1))
        & (pl.col("alone").list.len() > 0)
    ).to_series()
    first = tied.arg_true().to_numpy().astype(np.int64)
    forms, alone = values["form"], values["alone"]
    found = [n for n in first.tolist() if _slip(forms[n], forms[n + 1], alone[n], alone[n + 1])]
    slip = np.zeros(values.height, dtype=bool)
    slip[found] = True
    if found:
        place, first = np.arange(values.height), np.array(found)
        place[first], place[first + 1] = first + 1, first
        kept = kept.select(pl.all().gather(place))
    return kept.with_columns(slip=slip)


def _slip(form: str, other: str, alone: pl.Series, others: pl.Series) -> bool:
    """Whether a form differs from another within words, by words that it alone has."""
    own, words = form.split(" "), other.split(" ")
    return (
        len(own) == len(words)  # a word more is more than a slip
        and not {*alone} <= {*words}
        and {*others} <= {*own}
        and SequenceMatcher(None, form, other).ratio() >= NEAR
    )


def _confidence(
    values: pl.DataFrame, source: Ints, method: str, seed: int
) -> tuple[pl.Series, str]:
    """Of each value that of its form, and the method that gave it."""
    forms, form = np.unique(
        values.select(pl.struct("place", "claim").rank("dense")).to_series(), return_inverse=True
    )
    if method == "longest":
        length = np.zeros(len(forms), dtype=np.int64)
        np.maximum.at(length, form, values["length"].to_numpy())
        return pl.Series(length / max(length.max(initial=1), 1))[form], method
    rows = values["rows"].explode().drop_nulls().to_numpy()
    value = np.repeat(form, values["support"].to_numpy())
    if method == "first":
        best = np.full(len(forms), np.iinfo(np.int64).max)
        np.minimum.at(best, value, source[rows])
        return pl.Series(1 / (1 + best))[form], method
    if method == "random":
        return pl.Series(np.random.default_rng(seed).random(len(forms)))[form], method
    item = values.select(pl.struct("place", "set").rank("dense")).to_series().to_numpy() - 1
    _, speaker = np.unique(source[rows], return_inverse=True)
    claims = Claims(np.repeat(item.astype(np.int64), values["support"].to_numpy()), speaker, value)
    if method != "vote" and claims.sources < FEWEST_SOURCES:
        method = "vote"
    return pl.Series(METHODS[method](claims))[form], method
