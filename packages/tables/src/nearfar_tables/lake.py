"""An integrated table that grows: what has been joined stays joined, under the same numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.arrays import read_array
from nearfar_kit.atomic import replacing, write_atomic
from nearfar_kit.errors import UserError, first_line
from nearfar_kit.json_files import read_json
from nearfar_kit.settings import in_short, load_settings
from nearfar_tables.alignment import align
from nearfar_tables.blocking import block
from nearfar_tables.calibration import uncontested
from nearfar_tables.conflicts.question import Judge
from nearfar_tables.grouping import group
from nearfar_tables.integration import Result, result_of
from nearfar_tables.matching import Scored, learn
from nearfar_tables.pair_model import PairModel
from nearfar_tables.readers import read_all, read_typed
from nearfar_tables.resolution import ranks
from nearfar_tables.settings import TablesSettings
from nearfar_tables.source import Kind, SourceTable
from nearfar_tables.union import OuterUnion, outer_union

__all__ = ["Lake", "Partner"]

Ints = NDArray[np.int64]
ASKED = "\N{WHITE QUESTION MARK ORNAMENT}"  # the table of a row that is of none
ROWS, MODEL, ABOUT = "rows.parquet", "pairs.safetensors", "lake.json"
CANDIDATES = "candidates.npy"
OWN = ("__table", "__row", "__set")  # what a row's place is called beside its columns


@dataclass(frozen=True)
class Partner:
    """A set that a row may belong to.

    Attributes:
        set: its number. probability: of the likeliest of its rows. rows: its ``table:row``.
    """

    set: int
    probability: float
    rows: tuple[str, ...]


@dataclass
class Lake:
    """Rows of many tables, the sets they form, and what was learnt of pairs.

    Attributes:
        union: all rows, in the order they came. sets: [N], from 0.
        model: scores of pairs; None where the first tables had no candidates.
        kind: of the first table; results are of it.

    Example:
        >>> a = pl.DataFrame({"city": ["Rome", "Oslo"]})
        >>> b = pl.DataFrame({"city": ["oslo", "Lima"]})
        >>> quick = load_settings(TablesSettings, overrides=["epochs=0"])
        >>> lake = Lake.of({"a": a, "b": b}, settings=quick)
        >>> lake.sets.tolist()
        [0, 1, 1, 2]
    """

    union: OuterUnion
    sets: Ints
    model: PairModel | None
    settings: TablesSettings
    kind: Kind
    scored: Scored
    mended: tuple[str, ...] = ()
    seed: int = 0

    @classmethod
    def of(
        cls,
        tables: Any,
        *,
        columns: Mapping[str, Mapping[str, str]] | None = None,
        settings: TablesSettings | None = None,
        seed: int = 0,
        folder: Path | None = None,
        processes: int = 1,
        ray: str | None = None,
        quiet: bool = True,
    ) -> Lake:
        """From its first tables; as :func:`nearfar_tables.integrate`, whose sets these are.

        Args:
            folder: keeps candidates and what they look like, so that the same call goes on with
                what a killed one has left.
            processes: that block and look at pairs; any number finds the same.
            ray: the Ray cluster that looks at pairs instead: ``local``, ``auto`` or an address.
        """
        settings = settings or load_settings(TablesSettings)
        sources = read_all(tables)
        union = outer_union(sources, align(sources, columns))
        ranks(union.rows["table"], settings.priority)  # refused before the work
        origin = _origin(union)
        across = origin if len(sources) > 1 else None
        kept = None if folder is None else folder / CANDIDATES
        if kept is not None and kept.exists():
            candidates = read_array(kept)
            if candidates.dtype != np.int64 or candidates.shape[1:] != (2,):
                raise UserError(f"{kept}: holds no pairs of rows; expected those of a stopped run")
        else:
            candidates = _candidates(union, across, settings, processes)
            if kept is not None:
                with replacing(kept) as beside, beside.open("wb") as file:
                    np.save(file, candidates)
        model, scored = learn(
            union.frame, candidates, source=across, settings=settings, seed=seed, folder=folder,
            processes=processes, ray=ray, blocked=True, quiet=quiet,
        )  # fmt: skip
        yes = scored.match
        sets = group(
            union.frame.height, scored.pairs[yes], scored.probability[yes], settings.groups, seed
        )
        mended = tuple(line for source in sources for line in source.mended)
        return cls(union, sets, model, settings, sources[0].kind, scored, mended, seed)

    def result(self, judge: Judge | None = None) -> Result:
        """All rows as one table, with the grounds for each cell."""
        return result_of(
            self.union, self.sets, self.scored, _origin(self.union), self.settings, self.kind,
            self.mended, judge, self.seed,
        )  # fmt: skip

    def update(
        self, tables: Any, *, columns: Mapping[str, Mapping[str, str]] | None = None
    ) -> Ints:
        """Adds rows; gives the numbers of their sets.

        No row leaves its set and no two sets become one: a row joins the set of its likeliest
        partner, and rows that none has asked for form sets of their own, with new numbers. A table
        of a name that is there already adds rows to that table; of its rows a set has one at most,
        unless rows within a table may be one thing (``within``, or a single table).

        Args:
            tables: as of :func:`nearfar_tables.integrate`. Columns that are new are kept, and not
                compared.

        Raises:
            UserError: a table cannot be read, or none of its columns is compared.
        """
        sources = read_all(tables)
        before = self.union.frame.height
        union = self._with(sources, columns)
        scored = self._scored(union, before)
        sets = self._joined(union, scored, before)
        self.union, self.sets = union, sets
        pairs, score, probability, match = (
            np.concatenate([getattr(self.scored, name), getattr(scored, name)])
            for name in ("pairs", "score", "probability", "match")
        )
        self.scored = Scored(pairs, score, probability, match)
        self.mended += tuple(line for source in sources for line in source.mended)
        return sets[before:]

    def match_one(self, row: Mapping[str, Any], *, most: int = 5) -> list[Partner]:
        """The sets that a row of no table may belong to, the likeliest first; nothing is added.

        Raises:
            UserError: none of its columns is compared.
        """
        before = self.union.frame.height
        # Of a table of its own: every set may hold it.
        try:
            frame = pl.DataFrame([dict(row)])
        except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
            told = first_line(error)
            raise UserError(f"the row cannot be read ({told}); expected text and numbers") from None
        source = SourceTable(ASKED, frame, "polars")
        union = self._with([source], None)
        scored = self._scored(union, before)
        best: dict[int, float] = {}
        for (other, _), probability in zip(
            scored.pairs.tolist(), scored.probability.tolist(), strict=True
        ):
            number = int(self.sets[other])
            best[number] = max(best.get(number, 0.0), probability)
        order = sorted(best, key=lambda number: -best[number])[:most]
        names = _names(self.union)
        return [
            Partner(
                number, best[number],
                tuple(names[row] for row in np.flatnonzero(self.sets == number)),
            )
            for number in order
        ]  # fmt: skip

    def why_none(self) -> str:
        """Why :meth:`match_one` may find nothing."""
        if self.model is None:
            return "no set found: no two rows of these tables were alike enough to learn from"
        return (
            f"no set found: none shares {self.settings.shared_tokens} rare words with this row "
            f"(words that at most {self.settings.token_rows} rows hold)"
        )

    def save(self, folder: Path | str) -> None:
        """``rows.parquet``, ``pairs.safetensors`` and ``lake.json``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        frame = self.union.frame.with_columns(
            self.union.rows["table"].alias(OWN[0]),
            self.union.rows["row"].alias(OWN[1]),
            pl.Series(OWN[2], self.sets),
        )
        with replacing(folder / ROWS) as beside:
            frame.write_parquet(beside)
        if self.model is not None:
            self.model.save(folder / MODEL)
        about = {"settings": self.settings.model_dump(mode="json"), "kind": self.kind,
                 "seed": self.seed, "learnt": self.model is not None}  # fmt: skip
        write_atomic(folder / ABOUT, json.dumps(about))

    @classmethod
    def load(cls, folder: Path | str) -> Lake:
        """Of :meth:`save`; the pairs that were looked at are not kept.

        Raises:
            UserError: the folder holds none, or a damaged one.
        """
        folder = Path(folder)
        if not (folder / ABOUT).exists():
            raise UserError(f"{folder}: holds no integrated tables; expected a run of integrate")
        about = read_json(folder / ABOUT)
        frame = read_typed(folder / ROWS)
        try:
            kind, seed = about["kind"], about["seed"]
            if kind not in get_args(Kind) or not isinstance(seed, int) or seed < 0:
                raise ValueError(f"kind {in_short(kind)}, seed {in_short(seed)}")
            settings = load_settings(TablesSettings, base=about["settings"])
            rows = frame.select(table=pl.col(OWN[0]), row=pl.col(OWN[1]))
            if [rows.dtypes, frame[OWN[2]].dtype] != [[pl.String, pl.Int64], pl.Int64]:
                raise ValueError("rows have no places")
            numbers = frame[OWN[2]].is_between(0, frame.height - 1)
            if not (frame.select(OWN).null_count().sum_horizontal() == 0).all() or not (
                numbers.all() and (rows["row"] >= 0).all()
            ):
                raise ValueError("rows have no places")
            sets = frame[OWN[2]].to_numpy().astype(np.int64)
            union = OuterUnion(frame.drop(OWN), rows)
            model = PairModel.load(folder / MODEL) if about["learnt"] else None
            if model is not None and not {*model.columns} <= {*union.frame.columns}:
                raise ValueError("rows have other columns than were learnt")
        except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            first = first_line(error)
            raise UserError(f"{folder}: holds damaged integrated tables ({first})") from None
        return cls(union, sets, model, settings, kind, _none(), (), seed)

    def as_source(self) -> SourceTable:
        """All rows there are as one table, under a name that no file has."""
        return SourceTable("\N{BLACK SMALL SQUARE}", self.union.frame, "polars")

    def _with(
        self, sources: list[SourceTable], columns: Mapping[str, Mapping[str, str]] | None
    ) -> OuterUnion:
        """All rows and those of more tables."""
        known = self.as_source()
        alignment = align([known, *sources], columns)
        compared = set(self.model.columns if self.model else self.union.frame.columns)
        for source in sources:
            if not compared & set(alignment[source.name].values()):
                what = "the row" if source.name == ASKED else f"table {source.name}"
                raise UserError(
                    f"{what} has columns {', '.join(source.frame.columns)}; "
                    f"expected some of {', '.join(sorted(compared))}"
                )
        more = outer_union([known, *sources], alignment)
        new = more.rows[self.union.frame.height :]
        offsets = dict(self.union.rows.group_by("table").agg(pl.len()).iter_rows())
        shift = new["table"].replace_strict(offsets, default=0, return_dtype=pl.Int64)
        new = new.with_columns(row=new["row"] + shift)
        return OuterUnion(more.frame, pl.concat([self.union.rows, new]))

    def _scored(self, union: OuterUnion, before: int) -> Scored:
        """The candidate pairs of rows from ``before`` on."""
        origin = _origin(union)
        across = origin if len(np.unique(origin)) > 1 else None
        if self.model is None:
            return _none()
        compared = OuterUnion(union.frame.select(self.model.columns), union.rows)
        pairs = _candidates(compared, across, self.settings)
        pairs = pairs[pairs[:, 1] >= before]
        score = self.model.score(union.frame, pairs)
        probability = self.model.probability(score)
        if across is not None and len(pairs):
            open_ = uncontested(pairs, score, across, self.settings.margin)
            probability = np.where(open_, probability, 0.0)
        return Scored(pairs, score, probability, probability > self.settings.threshold)

    def _joined(self, union: OuterUnion, scored: Scored, before: int) -> Ints:
        """[N]: the sets with the new rows in them."""
        origin = _origin(union)
        one_each = len(np.unique(origin)) > 1 and not self.settings.within
        sets = np.concatenate([self.sets, np.full(len(origin) - before, -1)])
        taken = set(zip(self.sets.tolist(), origin[:before].tolist(), strict=True))
        order = np.argsort(-scored.probability, kind="stable")
        # The surest first, again and again: a row that has joined may bring another with it.
        joining = True
        while joining:
            joining = False
            for place in order[scored.match[order]].tolist():
                a, b = scored.pairs[place].tolist()
                if (sets[a] < 0) == (sets[b] < 0):
                    continue
                new, number = (a, int(sets[b])) if sets[a] < 0 else (b, int(sets[a]))
                if one_each and (number, int(origin[new])) in taken:
                    continue
                sets[new], joining = number, True
                taken.add((number, int(origin[new])))
        alone = np.flatnonzero(sets < 0)
        place_of = {int(row): place for place, row in enumerate(alone)}
        both = [
            (place_of[a], place_of[b], p)
            for (a, b), p, yes in zip(
                scored.pairs.tolist(), scored.probability.tolist(), scored.match, strict=True
            )
            if yes and a in place_of and b in place_of
        ]
        pairs = np.array([(a, b) for a, b, _ in both], dtype=np.int64).reshape(-1, 2)
        weights = np.array([p for _, _, p in both])
        own = group(len(alone), pairs, weights, self.settings.groups, self.seed)
        sets[alone] = own + int(self.sets.max(initial=-1)) + 1
        return sets


def _origin(union: OuterUnion) -> Ints:
    """[N]: the table of each row, by the order in which tables came."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(name, len(numbers)) for name in union.rows["table"].to_list()],
        dtype=np.int64,
    )


def _names(union: OuterUnion) -> list[str]:
    return (union.rows["table"] + ":" + union.rows["row"].cast(pl.String)).to_list()


def _candidates(
    union: OuterUnion, across: Ints | None, settings: TablesSettings, threads: int = 1
) -> Ints:
    return block(
        union.frame, source=across, within=settings.within, shared_tokens=settings.shared_tokens,
        token_rows=settings.token_rows, most_pairs=settings.most_pairs, threads=threads,
    )  # fmt: skip


def _none() -> Scored:
    return Scored(np.zeros((0, 2), np.int64), np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool))
