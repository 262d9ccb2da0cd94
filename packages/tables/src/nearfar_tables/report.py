"""The page of an integration: what came in, which rows became one, what was decided and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nearfar_kit.metrics import Metrics, Record
from nearfar_kit.plots import lines
from nearfar_kit.report import Report, facts
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Cell, Table
from nearfar_tables.cells import texts_of
from nearfar_tables.integration import Result
from nearfar_tables.lake import Lake
from nearfar_tables.readers import read
from nearfar_tables.source import SourceTable

__all__ = ["by_whom", "counted", "in_short", "integration_report", "ties"]

SHOWN = 50  # conflicts on the page; the files hold all
WHOLE = 20  # sets and pairs whose rows are shown
COLUMNS, LETTERS = 6, 60  # of a row that is shown
BINS = 40


def integration_report(
    run: RunFolder,
    metrics: Metrics,
    lake: Lake,
    sources: Sequence[SourceTable],
    result: Result,
    scores: Table | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Writes ``report.html``, and the picture of scores ``scores.png``.

    Args:
        lake: whose result it is. sources: the tables that came in now.
        scores: where the truth is known. notes: on what came in.
    """
    pairs, conflicts = read(result.pairs).frame, read(result.conflicts).frame
    shown = _Rows(lake)
    report = Report("Tables made one", in_short(result))
    report.section("What came in", *result.mended, *notes)
    rows = [[s.name, str(s.frame.height), ", ".join(s.frame.columns)] for s in sources]
    report.table(Table("Tables, their rows and columns.", ["table", "rows", "columns"], rows))
    report.section(
        "Which rows are one",
        f"{pairs.height} pairs were looked at; {pairs['match'].sum()} match.",
    )
    if scores is not None:
        report.table(scores)
    _picture(run, report, pairs)
    report.table(_doubtful(pairs, lake, shown))
    report.table(_sets(read(result.sets).frame, shown))
    report.section("What was decided", *ties(result))
    chosen = conflicts.select("set", "column", "value", "method", "confidence", "candidates")
    decided = [
        [str(number), column, value, method, f"{confidence:.2f}", " | ".join(candidates)]
        for number, column, value, method, confidence, candidates in chosen.head(SHOWN).iter_rows()
    ]
    caption = f"{len(decided)} of {conflicts.height} conflicts."
    heads = ["set", "column", "chosen", "method", "confidence", "candidates"]
    report.table(Table(caption, heads, decided))
    report.section("How this was made")
    report.facts(facts(metrics))
    report.write(run.report)


def in_short(result: Result) -> str:
    """How many rows of how many tables became how many."""
    sets, conflicts = read(result.sets).frame, read(result.conflicts).frame
    return (
        f"{sets.height} rows of {sets['table'].n_unique()} tables became "
        f"{sets['set'].n_unique()}; {conflicts.height} cells in which they disagree were decided"
        f"{by_whom(conflicts)}."
    )


def by_whom(conflicts: pl.DataFrame) -> str:
    """In brackets, how many conflicts each method has decided; nothing where there are none."""
    counts = conflicts.group_by("method", maintain_order=True).len().iter_rows()
    told = ", ".join(f"{count} by {method}" for method, count in counts)
    return f" ({told})" if told else ""


def ties(result: Result) -> list[str]:
    """A line, where two tables said different things and no third one could tell which is right."""
    conflicts, sets = read(result.conflicts).frame, read(result.sets).frame
    support = pl.col("support").list
    tied = conflicts.filter(
        (pl.col("method") == "vote") & (support.get(0) == support.get(1, null_on_oob=True))
    ).height
    if not tied or sets["table"].n_unique() != 2:
        return []
    what = "tie" if tied == 1 else "ties"
    return [
        f"{tied} {what} of two tables: the first table's value ({sets['table'][0]}) was taken, "
        "since no third table tells who is right; --set priority=[TABLE] prefers another, "
        "--set resolver=longest, or --judge, decides otherwise"
    ]


def counted(result: Result, seed: int) -> list[Record]:
    """What went in and came out, for ``metrics.json``."""
    sets, pairs = read(result.sets).frame, read(result.pairs).frame
    sizes = sets["set"].value_counts()["count"]
    counts = {
        "rows in": sets.height,
        "rows out": len(sizes),
        "sets of several rows": int((sizes > 1).sum()),
        "pairs scored": pairs.height,
        "pairs matched": int(pairs["match"].sum()),
        "conflicts": read(result.conflicts).frame.height,
    }
    return [
        Record("tables", "all", "nearfar", seed, name, float(count), sets.height)
        for name, count in counts.items()
    ]


class _Rows:
    """Rows of a lake as a reader wants to see them: a few columns, the fullest ones."""

    def __init__(self, lake: Lake) -> None:
        frame, rows = lake.union.frame, lake.union.rows
        fullest = sorted(frame.columns, key=lambda name: frame[name].null_count())[:COLUMNS]
        self.columns = [name for name in frame.columns if name in fullest]
        self.frame = frame.select(self.columns)
        others = [name for name in frame.columns if name not in fullest]
        more = f" and {len(others) - COLUMNS} more" if len(others) > COLUMNS else ""
        # What a caption says of the columns that are not here.
        self.left_out = f" Not shown: {', '.join(others[:COLUMNS])}{more}." if others else ""
        self.place = {row: number for number, row in enumerate(rows.iter_rows())}

    def cells(self, table: str, row: int) -> list[str]:
        number = self.place[table, row]
        own = [texts_of(self.frame[name][number : number + 1])[0] for name in self.columns]
        return [_short(text or "") for text in own]


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 3]}..."


def _doubtful(pairs: pl.DataFrame, lake: Lake, shown: _Rows) -> Table:
    """The pairs nearest the score at which matches begin, two lines each."""
    score, limit = pairs["score"].to_numpy(), _limit(pairs, lake)
    # A pair of 0 has lost to a better partner (or is far below): its own score does not decide.
    lost = pairs["probability"].to_numpy() == 0
    nearest = np.lexsort((np.abs(score - limit), lost))[:WHOLE]
    rows: list[list[Cell | str]] = []
    for pair in pairs[nearest.tolist()].iter_rows(named=True):
        said = [
            f"{pair['score']:.2f}",
            f"{pair['probability']:.3f}",
            "yes" if pair["match"] else "no",
        ]
        for side, told in (("left", said), ("right", ["", "", ""])):
            table, row = pair[f"{side}_table"], pair[f"{side}_row"]
            rows.append([f"{table}:{row}", *told, *shown.cells(table, row)])
    caption = (
        f"The {len(nearest)} most doubtful of {pairs.height} pairs, the other row below; "
        f"first those whose score is nearest {limit:.2f}, where matches begin.{shown.left_out}"
    )
    return Table(caption, ["row", "score", "probability", "match", *shown.columns], rows)


def _limit(pairs: pl.DataFrame, lake: Lake) -> float:
    """The score at which pairs that no better partner contests begin to match."""
    score = np.sort(pairs["score"].to_numpy())
    if lake.model is None or not len(score):
        return 0.0
    yes = lake.model.probability(score) > lake.settings.threshold
    first = int(yes.argmax()) if yes.any() else len(score)
    beside = score[max(first - 1, 0) : first + 1]  # the last that does not and the first that does
    return float(beside.mean())


def _sets(sets: pl.DataFrame, shown: _Rows) -> Table:
    """The rows of the largest sets, one below the other."""
    several = sets.with_columns(size=pl.len().over("set")).filter(pl.col("size") > 1)
    largest = several.sort("size", "set", descending=[True, False], maintain_order=True)
    numbers = largest["set"].unique(maintain_order=True)
    rows: list[list[Cell | str]] = [
        [str(number), f"{table}:{row}", *shown.cells(table, row)]
        for table, row, number in largest.filter(pl.col("set").is_in(numbers[:WHOLE].to_list()))
        .select("table", "row", "set").iter_rows()
    ]  # fmt: skip
    caption = f"{min(len(numbers), WHOLE)} of {len(numbers)} sets of several rows, largest first."
    caption += shown.left_out
    return Table(caption, ["set", "row", *shown.columns], rows)


def _picture(run: RunFolder, report: Report, pairs: pl.DataFrame) -> None:
    """How many pairs have which score, those that match and those that do not."""
    score, match = pairs["score"].to_numpy(), pairs["match"].to_numpy().astype(bool)
    if not match.any() or match.all():
        return
    edges = np.histogram_bin_edges(score, BINS)
    series = {
        name: [Cell(float(count), 0.0, 1, digits=0) for count in np.histogram(own, edges)[0]]
        for name, own in (("match", score[match]), ("no match", score[~match]))
    }
    middle = ((edges[1:] + edges[:-1]) / 2).tolist()
    png = lines(
        run.path / "scores.png", middle, series, title="Scores of pairs", x_label="score",
        y_label="pairs",
    )  # fmt: skip
    report.figure(
        png,
        f"Pairs match from a score of {score[match].min():.2f} on, but for those one of whose rows "
        "has a clearly better partner.",
    )
