"""Tables and pictures of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nearfar_bundle.builder import Builder
from nearfar_bundle.evaluate import CHOSEN_BY
from nearfar_bundle.measures import CUTS
from nearfar_bundle.split import Split
from nearfar_kit import plots
from nearfar_kit.gains import gains
from nearfar_kit.metrics import Record, parse_split
from nearfar_kit.report import Report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Cell, Table, spread_over, summarise

__all__ = [
    "COLUMNS", "MEASURES", "SHOWN", "asked_for", "by_method", "comparison", "measured_table",
    "training_curve",
]  # fmt: skip

COLUMNS = [f"{name}@{k}" for name in ("recall", "ndcg") for k in CUTS]
MAIN = ["recall@5", "recall@20", "recall@50", "ndcg@20"]
APART = [f"{kind} {name}@20" for kind in ("warm", "cold") for name in ("recall", "ndcg")]
AMONG = [f"among {kind} recall@20" for kind in ("warm", "cold")]
SHOWN = ["recall@5", "recall@20", "ndcg@20"]  # what eighty columns hold
BASELINE = "best blend"
MOST = 8  # bars that one can tell apart
MEASURES = (
    "Of each bundle of the test part some items are shown, and the others are to be found among "
    "all items. recall@k: the share of them among the first k. ndcg@k: the same, a place further "
    "down counting less. Of both more is better, 1 is all.",
    "warm: items that a training bundle holds; cold: items that none holds, of which title, "
    "labels, vectors or feedback alone can tell. Where nearly all items to be found are of one "
    "kind, the other's figures rest on few, and a list that finds the one has little place for it.",
    "Each is a mean over the bundles that have such items to be found: all items over every "
    "bundle, warm over those with a warm one, cold over those with a cold one. As these are not "
    "the same bundles, all items may be above both, or below.",
)


def asked_for(split: Split) -> str:
    """How many items of the test part are to be found, by kind."""
    times, warm = np.asarray(split.test.hidden.sum(0)).ravel(), split.degrees > 0
    return f"to be found: {times[warm].sum():.0f} warm items, {times[~warm].sum():.0f} cold"


def measured_table(found: Mapping[str, float], caption: str) -> Table:
    """One model: cuts down, kinds of items across."""
    kinds = {"all items": "", "warm items": "warm ", "cold items": "cold "}
    rows: list[list[Cell | str]] = [
        [f"{name}@{k}", *(summarise([found[f"{kind}{name}@{k}"]]) for kind in kinds.values())]
        for name in ("recall", "ndcg")
        for k in CUTS
    ]
    return Unranked(caption, ["measure", *kinds], rows)


def by_method(records: Sequence[Record], metrics: Sequence[str], caption: str) -> Table:
    """Mean and spread over splits and seeds, a row a method."""
    rows: list[list[Cell | str]] = []
    for method in methods_of(records):
        own = [record for record in records if record.method == method]
        rows.append(
            [method, *(summarise([r.value for r in own if r.metric == name]) for name in metrics)]
        )
    return Table(caption, ["method", *metrics], rows)


def comparison(folder: Path, records: Sequence[Record], report: Report) -> list[Table]:
    """A table and a picture a data set; gives the tables."""
    tables = []
    for dataset in dict.fromkeys(record.dataset for record in records):
        every = [r for r in records if r.dataset == dataset]
        own = [r for r in every if not missing_of(r)]
        splits, seeds = len({r.split for r in own}), len({r.seed for r in own})
        over = "one honest split"
        if splits > 1:
            over = f"honest split, {spread_over(splits, 'split')} (without ±: one)"
        if seeds > 1:
            most = [m for m in methods_of(own) if len({r.seed for r in own if r.method == m}) > 1]
            over += f", {seeds} seeds each of {', '.join(most)}"
        table = by_method(own, [*MAIN, *APART, *AMONG], f"{dataset}: {over}.")
        more = gains(
            own,
            BASELINE,
            [*MAIN, *APART, *AMONG],
            f"{dataset}: less the {BASELINE} of the same split, mean ± standard deviation over "
            "splits, of each the mean over its seeds.",
            draw=lambda record: record.split,
        )
        chart = by_method(own, ["recall@20", "ndcg@20"], "")
        best = sorted(chart.rows, key=_first_mean)[-MOST:]
        series = {
            str(row[0]): [cell for cell in row[1:] if isinstance(cell, Cell)]
            for row in chart.rows
            if row in best
        }
        path = folder / f"{dataset}.png"
        left_out = len(chart.rows) - len(series)
        shown = (
            f"the {len(series)} of {len(chart.rows)} methods of highest recall" if left_out else ""
        )
        plots.bars(
            path, ["recall@20", "ndcg@20"], series,
            title=f"{dataset}: {shown}" if left_out else dataset,
            y_label="measure (1: all is found)",
        )  # fmt: skip
        report.section(dataset)
        report.table(table)
        caption = "Recall and NDCG at 20 of the items to be found"
        more_told = f"; {shown}, the table has all" if left_out else ""
        report.figure(path, f"{caption}{more_told}.")
        tables.append(table)
        if more.rows:
            report.table(more)
            tables.append(more)
        without = {r.method for r in every if missing_of(r)}
        if without:
            curve = [r for r in every if r.method in without and r.seed == 0]
            tables.append(missing_curve(folder, dataset, curve, report))
    return tables


def methods_of(records: Sequence[Record]) -> list[str]:
    """In the order they came."""
    return list(dict.fromkeys(record.method for record in records))


def missing_of(record: Record) -> float:
    """The share of features that was taken away."""
    return float(parse_split(record.split)["missing"])


def _first_mean(row: Sequence[Cell | str]) -> float:
    return row[1].mean if isinstance(row[1], Cell) else 0.0


def missing_curve(folder: Path, dataset: str, records: Sequence[Record], report: Report) -> Table:
    """Recall@20 by the share of features taken away, a line a method; gives it as a table too."""
    shares = sorted({missing_of(r) for r in records})
    series = {
        method: [
            summarise(
                r.value
                for r in records
                if r.method == method and r.metric == "recall@20" and missing_of(r) == share
            )
            for share in shares
        ]
        for method in methods_of(records)
    }
    path = folder / f"{dataset}_missing.png"
    plots.lines(
        path, shares, series, title=f"{dataset}: features taken away",
        x_label="share of texts, labels and vectors that is missing", y_label="recall@20",
    )  # fmt: skip
    table = Table(
        f"{dataset}: recall@20 by the share of features taken away.",
        ["method", *(f"{share:g}" for share in shares)],
        [[method, *cells] for method, cells in series.items()],
    )
    report.section(dataset)
    report.table(table)
    report.figure(path, "Each item loses each modality of content with that chance.")
    return table


class Unranked(Table):
    """A table in which columns are no rivals."""

    def best(self) -> set[tuple[int, int]]:
        return set()


def training_curve(report: Report, run: RunFolder, builder: Builder) -> None:
    """How the validation went, as a PNG file and in the report."""
    history = builder.history
    if len(history) < 2:
        return
    series = {name: [Cell(found[name], 0.0, 1) for found in history] for name in CHOSEN_BY}
    epochs = [int(found["epoch"]) for found in history]
    best = max(range(len(history)), key=lambda n: sum(history[n][name] for name in CHOSEN_BY))
    path = run.path / "validation.png"
    plots.lines(
        path, epochs, series, title="Validation", x_label="epoch",
        y_label="measure on the validation part",
        chosen=(epochs[best], f"kept, epoch {epochs[best]}"),
    )  # fmt: skip
    report.figure(
        path,
        f"Measures on the validation part; the best sum of both, of epoch {epochs[best]}, is kept "
        "(epoch 0 is before any learning).",
    )
