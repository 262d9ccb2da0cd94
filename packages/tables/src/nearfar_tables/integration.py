"""The whole: tables in, one table out, with the grounds for each cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from nearfar_tables.conflicts.decision import decide
from nearfar_tables.conflicts.demonstrations import questions_of
from nearfar_tables.conflicts.question import Judge
from nearfar_tables.matching import Scored
from nearfar_tables.resolution import ranks, resolve
from nearfar_tables.settings import TablesSettings
from nearfar_tables.source import Kind
from nearfar_tables.union import OuterUnion
from nearfar_tables.writers import as_kind

__all__ = ["Result", "integrate", "result_of"]


@dataclass(frozen=True)
class Result:
    """An integrated table and its grounds, each of the kind of the first input.

    Attributes:
        table: a row for each set.
        sets: every input row once: ``table``, ``row``, ``set`` (the row of ``table`` above).
        pairs: the candidates: tables and rows of both, ``score``, ``probability``, ``match``.
        conflicts: the cells for which rows say different things; as ``provenance``.
        provenance: for each cell: ``set``, ``column``, ``value``, ``method``, ``confidence``,
            ``sources`` (``table:row`` that say so), ``candidates``, ``support``, ``writings``
            (every text that stands there, where some candidate is written in several ways).
        mended: what reading had to repair, a line each.
    """

    table: Any
    sets: Any
    pairs: Any
    conflicts: Any
    provenance: Any
    mended: tuple[str, ...]


def integrate(
    tables: Any,
    *,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    settings: TablesSettings | None = None,
    judge: Judge | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> Result:
    """Aligns, unites, blocks, matches, groups and resolves.

    Args:
        tables: a folder, paths, frames or relations: see :func:`nearfar_tables.read_all`.
        columns: table -> its column -> column of the union, where names differ.
        judge: of conflicts (:mod:`nearfar_tables.conflicts`); where it abstains, or without one,
            the settings' resolver decides.

    Raises:
        UserError: a table cannot be read, the alignment is wrong, or too many pairs are expected.

    Example:
        >>> a = pl.DataFrame({"city": ["Rome", "Oslo"], "people": [2.8, None]})
        >>> b = pl.DataFrame({"city": ["oslo", "Lima"], "people": [0.7, 10.0]})
        >>> from nearfar_kit.settings import load_settings
        >>> chosen = load_settings(TablesSettings, overrides=["epochs=0"])
        >>> integrate({"a": a, "b": b}, settings=chosen).sets.rows()
        [('a', 0, 0), ('a', 1, 1), ('b', 0, 1), ('b', 1, 2)]
    """
    from nearfar_tables.lake import Lake  # which gives a Result itself

    lake = Lake.of(tables, columns=columns, settings=settings, seed=seed, quiet=quiet)
    return lake.result(judge)


def result_of(
    union: OuterUnion,
    sets: NDArray[np.int64],
    scored: Scored,
    origin: NDArray[np.int64],
    settings: TablesSettings,
    kind: Kind,
    mended: tuple[str, ...],
    judge: Judge | None = None,
    seed: int = 0,
) -> Result:
    """One row a set, with its grounds.

    Args:
        union: N rows. sets: [N], from 0. scored: the pairs that were looked at.
        origin: [N] the table of each row.
    """
    source = origin if len(np.unique(origin)) > 1 else None
    rank = ranks(union.rows["table"], settings.priority)
    resolved = resolve(
        union.frame, sets, source=source, method=settings.resolver, rank=rank, seed=seed
    )
    if judge is not None:
        asked = questions_of(
            resolved, demonstrations=settings.demonstrations, least=settings.least_nats,
            selection=settings.selection, seed=seed,
        )  # fmt: skip
        resolved, _ = decide(resolved, union.frame, sets, asked, judge)
    names = union.rows["table"] + ":" + union.rows["row"].cast(pl.String)
    provenance = resolved.cells.with_columns(_named(resolved.cells["rows"], names)).drop("rows")
    left, right = (union.rows[scored.pairs[:, side]] for side in (0, 1))
    pairs = pl.concat(
        [
            left.rename({"table": "left_table", "row": "left_row"}),
            right.rename({"table": "right_table", "row": "right_row"}),
            pl.DataFrame(
                {"score": scored.score, "probability": scored.probability, "match": scored.match}
            ),
        ],
        how="horizontal",
    )
    return Result(
        as_kind(resolved.table, kind),
        as_kind(union.rows.with_columns(pl.Series("set", sets)), kind),
        as_kind(pairs, kind),
        as_kind(provenance.filter(pl.col("candidates").list.len() > 1), kind),
        as_kind(provenance, kind),
        mended,
    )


def _named(rows: pl.Series, names: pl.Series) -> pl.Series:
    """Lists of rows as lists of their names."""
    lists = rows.to_arrow()
    flat = names.gather(pl.Series(lists.values)).to_arrow()
    named = pa.LargeListArray.from_arrays(lists.offsets, flat)
    return pl.Series("sources", named, dtype=pl.List(pl.String))
