"""A comparison of methods: profiles, and tables and plots from ``metrics.json`` alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nearfar_kit import plots
from nearfar_kit.metrics import Metrics, Record, parse_split
from nearfar_kit.report import Report, write_tables
from nearfar_kit.table import Cell, Table, spread_over, summarise
from nearfar_speech.methods import BASELINE, METHODS

__all__ = ["PROFILES", "Profile", "write_comparison"]

# What a table shows, by metric, where it was measured.
_COLUMNS = {
    "average accuracy": "average accuracy",
    "last accuracy": "last accuracy",
    "backward transfer": "backward transfer",
    "last word error rate": "last WER",
    "last slu f1": "last SLU-F1",
}
_LEAST = ("last WER",)
_DRAWN = (
    "offline", "fine-tune", "ER random", BASELINE, "S-KD", "COCONUT", "COCONUT + S-KD",
)  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """How much a benchmark does."""

    seeds: int
    settings: dict[str, object] = field(default_factory=dict)
    methods: tuple[str, ...] = tuple(METHODS)


# A small decoder, the upper two blocks of the encoder trained, four clips a class of ten kept.
_CPU: dict[str, object] = {
    "shuffled": True, "clips_per_class": 30, "memory": 40, "vocabulary": 300, "dropout": 0.0,
    "frozen": 4, "width": 64, "contrast": 64, "learning_rate": 2e-3, "first_epochs": 15,
    "epochs": 15, "beam": 3, "max_tokens": 60,
}  # fmt: skip
PROFILES = {
    "smoke": Profile(
        1,
        _CPU | {"clips_per_class": 8, "memory": 20, "epochs": 2, "first_epochs": 2, "beam": 1},
        ("fine-tune", "ER iCaRL", "COCONUT"),
    ),
    "cpu": Profile(5, _CPU),
    "gpu": Profile(5, {"shuffled": True}),
}


def write_comparison(folder: Path, metrics: Metrics, report: Report) -> list[Table]:
    """``table.md`` and a plot into ``folder``, and both into the report; gives the tables."""
    tables = []
    for dataset in dict.fromkeys(record.dataset for record in metrics.records):
        records = [r for r in metrics.records if r.dataset == dataset]
        seeds = len({r.seed for r in records})
        over = spread_over(seeds)
        report.section(dataset)
        tables += [
            _whole(records, f"{dataset}: over all tasks; {over}."),
            _gains(records, f"{dataset}: gain in accuracy over {BASELINE}, same seed; {over}."),
        ]  # fmt: skip
        for table in tables[-2:]:
            if table.rows:
                report.table(table)
        plot = _plot(folder, records, dataset)
        if plot is not None:
            report.figure(plot, "Accuracy on all classes seen so far, after each task.")
    tables = [table for table in tables if table.rows]
    write_tables(folder / "table.md", tables, metrics)
    return tables


Values = dict[str, dict[int, float]]  # by method, of each seed


def _values(records: Sequence[Record], metric: str, after: str = "all") -> Values:
    found: Values = {}
    for record in records:
        if record.metric == metric and parse_split(record.split) == {"after": after}:
            found.setdefault(record.method, {})[record.seed] = record.value
    return found


def _measured(values: Values) -> bool:
    return any(math.isfinite(value) for own in values.values() for value in own.values())


def _whole(records: Sequence[Record], caption: str) -> Table:
    values = {name: _values(records, metric) for metric, name in _COLUMNS.items()}
    values = {name: found for name, found in values.items() if _measured(found)}
    methods = list(dict.fromkeys(record.method for record in records))
    rows: list[list[Cell | str]] = []
    for method in methods:
        row: list[Cell | str] = [method]
        for name, found in values.items():
            # All at once is one task: nothing to average, nothing to forget.
            known = {} if METHODS[method].at_once and "last" not in name else found.get(method, {})
            row.append(summarise(known.values()))
        rows.append(row)
    return Table(caption, ["method", *values], rows, least=_LEAST)


def _gains(records: Sequence[Record], caption: str) -> Table:
    names = ("average accuracy", "last accuracy")
    rows: list[list[Cell | str]] = []
    values = {name: _values(records, name) for name in names}
    for method in dict.fromkeys(record.method for record in records):
        if method == BASELINE or METHODS[method].at_once:
            continue
        row: list[Cell | str] = [method]
        for name in names:
            own, base = values[name].get(method, {}), values[name].get(BASELINE, {})
            row.append(summarise([own[seed] - base[seed] for seed in own if seed in base]))
        rows.append(row)
    if not any(isinstance(cell, Cell) and cell.n for row in rows for cell in row):
        rows = []
    return Table(caption, ["method", *names], rows)


def _plot(folder: Path, records: Sequence[Record], dataset: str) -> Path | None:
    tasks = 1 + max(int(p) for r in records if (p := parse_split(r.split)["after"]) != "all")
    if tasks < 2:
        return None
    after = [_values(records, "accuracy", str(task)) for task in range(tasks)]
    series: dict[str, list[Cell]] = {}
    for method in dict.fromkeys(r.method for r in records):
        if method not in _DRAWN:
            continue
        if METHODS[method].at_once:  # a line to reach
            series[method] = [summarise(after[0][method].values())] * tasks
        else:
            series[method] = [summarise(found.get(method, {}).values()) for found in after]
    return plots.lines(
        folder / f"{dataset}_accuracy_over_tasks.png", list(range(1, tasks + 1)), series,
        title=f"{dataset}: classes seen so far", x_label="tasks learnt", y_label="intent accuracy",
        ticks=[str(task) for task in range(1, tasks + 1)],
        emphasise=["fine-tune", BASELINE, "COCONUT"],
    )  # fmt: skip
