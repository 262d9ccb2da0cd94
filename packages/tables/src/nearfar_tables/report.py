"""The page of an integration: what came in, which rows became one, what was decided and why."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report, facts
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table
from nearfar_tables.integration import Result
from nearfar_tables.readers import read
from nearfar_tables.source import SourceTable

__all__ = ["in_short", "integration_report"]

SHOWN = 50  # sets and conflicts on the page; the files hold all


def integration_report(
    run: RunFolder,
    metrics: Metrics,
    sources: Sequence[SourceTable],
    result: Result,
    scores: Table | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Writes ``report.html``.

    Args:
        sources: the tables that came in now.
        scores: where the truth is known. notes: on what came in.
    """
    sets, pairs, conflicts = (
        read(part).frame for part in (result.sets, result.pairs, result.conflicts)
    )
    report = Report(
        "Tables made one",
        in_short(result),
    )
    report.section("What came in", *result.mended, *notes)
    rows = [[s.name, str(s.frame.height), ", ".join(s.frame.columns)] for s in sources]
    report.table(Table("Tables, their rows and columns.", ["table", "rows", "columns"], rows))
    report.section(
        "Which rows are one",
        f"{pairs.height} pairs were looked at; {pairs['match'].sum()} match. A row of the table "
        "for each set of several rows, the largest first.",
    )
    members = (
        sets.with_columns(id=pl.col("table") + ":" + pl.col("row").cast(pl.String))
        .group_by("set", maintain_order=True)
        .agg(pl.col("id"))
        .filter(pl.col("id").list.len() > 1)
        .sort(pl.col("id").list.len(), descending=True, maintain_order=True)
    )
    shown = [[str(number), ", ".join(ids)] for number, ids in members.head(SHOWN).iter_rows()]
    caption = f"{len(shown)} of {members.height} sets of several rows."
    report.table(Table(caption, ["set", "rows"], shown))
    if scores is not None:
        report.table(scores)
    report.section("What was decided")
    chosen = conflicts.select("set", "column", "value", "method", "confidence", "candidates")
    shown = [
        [str(number), column, value, method, f"{confidence:.2f}", " | ".join(candidates)]
        for number, column, value, method, confidence, candidates in chosen.head(SHOWN).iter_rows()
    ]
    caption = f"{len(shown)} of {conflicts.height} conflicts."
    heads = ["set", "column", "chosen", "method", "confidence", "candidates"]
    report.table(Table(caption, heads, shown))
    report.section("How this was made")
    report.facts(facts(metrics))
    report.write(run.report)


def in_short(result: Result) -> str:
    """How many rows of how many tables became how many."""
    sets, conflicts = read(result.sets).frame, read(result.conflicts).frame
    return (
        f"{sets.height} rows of {sets['table'].n_unique()} tables became "
        f"{sets['set'].n_unique()}; {conflicts.height} cells in which they disagree were decided."
    )
