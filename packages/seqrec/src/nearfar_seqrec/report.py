"""The report of a training run, and of a comparison of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from nearfar_kit import plots
from nearfar_kit.gains import gains
from nearfar_kit.metrics import Metrics, Record
from nearfar_kit.report import Report, write_tables
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Cell, Table, spread_over, summarise
from nearfar_seqrec.evaluate import CUTS, LISTED
from nearfar_seqrec.recommender import Recommender
from nearfar_seqrec.train import CHOSEN_BY

__all__ = [
    "BASELINE", "FIRST", "MEASURES", "below", "by_method", "training_curve", "value",
    "write_comparison",
]  # fmt: skip

BASELINE = "SASRec"
FIRST = [f"{name}@{k}" for name in ("hit", "ndcg") for k in CUTS] + ["mrr"]
MEASURES = (
    "Full ranking: in each test one item is hidden, and every item of the catalogue competes with "
    "it. hit@k: the share of tests in which it is among the first k. ndcg@k: the same, a place "
    "further down counting less. mrr: the mean of 1 / its rank. Of these more is better, 1 is all.",
    f"coverage@{LISTED}: the share of the catalogue that is on anybody's list of {LISTED}. "
    f"popularity@{LISTED}: how often listed items were trained on, over how often those asked for "
    "were; above 1, lists lean to what is popular. popular gives everybody the items that were "
    "trained on most.",
)
BESIDE = ["coverage@10", "popularity@10", f"valid {CHOSEN_BY}", "epochs", "cpu seconds"]


def by_method(records: Sequence[Record], metrics: Sequence[str], caption: str) -> Table:
    """Mean and spread over seeds, a row a method."""
    rows: list[list[Cell | str]] = []
    for method in dict.fromkeys(record.method for record in records):
        own = [record for record in records if record.method == method]
        rows.append(
            [
                method,
                *(value(summarise(r.value for r in own if r.metric == name)) for name in metrics),
            ]
        )
    return Table(caption, ["method", *metrics], rows)


def value(cell: Cell) -> Cell:
    """With a digit more: measures of a catalogue's size are small."""
    return replace(cell, digits=1 if abs(cell.mean) >= 1 else 4)


def below(
    name: str, found: Mapping[str, float], other: str, theirs: Mapping[str, float]
) -> list[str]:
    """A line where a model finds less than a baseline by what chose its epoch."""
    own, least = found[CHOSEN_BY], theirs[CHOSEN_BY]
    if own >= least:
        return []
    return [f"{name} is below {other} on {CHOSEN_BY}: {own:.4f}, {other} {least:.4f}"]


def write_comparison(
    folder: Path,
    metrics: Metrics,
    report: Report,
    about: Mapping[str, str] = MappingProxyType({}),
) -> list[Table]:
    """``table.md`` and plots into ``folder``, and both into the report; gives the tables.

    Args:
        about: the size of each data set, in words.
    """
    tables = []
    for dataset in dict.fromkeys(record.dataset for record in metrics.records):
        records = [r for r in metrics.records if r.dataset == dataset]
        seeds, n = len({r.seed for r in records}), records[0].n
        spread = spread_over(seeds)
        one = " (without ±: one)" if seeds > 1 else ""  # what has no chance in it
        name = f"{dataset}, {about[dataset]}" if dataset in about else dataset
        main = by_method(
            records,
            FIRST,
            f"{name}: full ranking, {n} tests, {spread}{one}.",
        )
        more = gains(
            records, BASELINE, FIRST, f"{dataset}: less the {BASELINE} of the same seed; {spread}.",
            shown=value,
        )  # fmt: skip
        rest = by_method(
            records, BESIDE,
            f"{dataset}: share of the catalogue on anybody's list of ten; how often listed items "
            "were trained on over how often those asked for were; what chose the settings; epochs; "
            "processor seconds.",
        )  # fmt: skip
        rest = Unranked(rest.caption, rest.columns, rest.rows)
        path = folder / f"{dataset}_ndcg.png"
        names = ("ndcg@5", "ndcg@10", "ndcg@20")
        series = {
            str(row[0]): [cell for cell, name in zip(row[1:], FIRST, strict=True)
                          if isinstance(cell, Cell) and name in names]
            for row in main.rows
        }  # fmt: skip
        plots.bars(path, names, series, title=f"{dataset}: next item", y_label="NDCG")
        report.section(dataset)
        for table in (main, more, rest) if more.rows else (main, rest):
            report.table(table)
            tables.append(table)
        report.figure(path, "NDCG of the one item asked for, by the length of the list.")
    write_tables(folder / "table.md", tables, metrics)
    return tables


class Unranked(Table):
    """A table in which more is not better."""

    def best(self) -> set[tuple[int, int]]:
        return set()


def training_curve(report: Report, run: RunFolder, recommender: Recommender) -> list[str]:
    """How the validation went, as a PNG file and in the report; gives a note on its end."""
    history = recommender.history
    if len(history) < 2:
        return []
    series = {
        name: [Cell(found[name], 0.0, 1) for found in history]
        for name in ("ndcg@10", "hit@10", "mrr")
    }
    epochs = [int(found["epoch"]) for found in history]
    best = max(range(len(history)), key=lambda n: history[n][CHOSEN_BY])
    path = run.path / "validation.png"
    plots.lines(
        path, epochs, series, title="Validation", x_label="epoch",
        y_label="measure on the validation part",
        chosen=(epochs[best], f"chosen, epoch {epochs[best]}"),
    )  # fmt: skip
    notes = []
    if best == len(history) - 1:
        notes = [
            f"the last epoch, {epochs[best]}, was the best: more of them (epochs) may find more"
        ]
    report.figure(
        path,
        f"Measures on the validation part; the best {CHOSEN_BY}, of epoch {epochs[best]}, is kept"
        + "".join(f"; {note}" for note in notes)
        + ".",
    )
    return notes
