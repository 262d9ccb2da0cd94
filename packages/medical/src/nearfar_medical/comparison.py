"""A comparison of methods: profiles, and tables and plots from ``metrics.json`` alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nearfar_kit import plots
from nearfar_kit.metrics import Metrics, Record, parse_split
from nearfar_kit.report import Report, write_tables
from nearfar_kit.table import Cell, Table, spread_over, summarise
from nearfar_medical.methods import METHODS
from nearfar_medical.settings import PRESETS

__all__ = ["PROFILES", "Profile", "write_comparison"]

BASELINE = "baseline"
PROPOSED = ("G^D + L^R", "G^D + L^R + Mixup")


@dataclass(frozen=True)
class Profile:
    """How much a benchmark does; draws are of the labelled volumes."""

    draws: int
    labelled: tuple[int, ...] = (1, 2, 8)
    test: int = 50
    settings: dict[str, object] = field(default_factory=dict)
    methods: tuple[str, ...] = tuple(METHODS)


PROFILES = {
    "smoke": Profile(
        1, (2,), 4,
        {"widths": (8, 8, 16, 16), "global_steps": 10, "local_steps": 5, "tuned_steps": 10,
         "local_depth": 1, "validate_every": 5},
    ),
    # Finer parts than the paper's four, chosen on validation volumes of hippocampi.
    "cpu": Profile(5, settings=PRESETS["cpu"] | {"parts": 8, "volumes": 4}),
    "gpu": Profile(5),
}  # fmt: skip


def write_comparison(folder: Path, metrics: Metrics, report: Report) -> list[Table]:
    """``table.md`` and plots into ``folder``, and both into the report; gives the tables."""
    tables = []
    for dataset in dict.fromkeys(record.dataset for record in metrics.records):
        records = [r for r in metrics.records if r.dataset == dataset]
        draws = len({r.seed for r in records})
        report.section(dataset)
        structures = dict.fromkeys(parse_split(r.split)["structure"] for r in records)
        for structure in structures:
            what = "mean of the structures" if structure == "mean" else structure
            table = by_labelled(
                records, structure,
                f"{dataset}: Dice, {what}, by number of labelled volumes; "
                f"{spread_over(draws, 'draw')} of them.",
            )  # fmt: skip
            tables.append(table)
            report.table(table)
            if structure == "mean":
                gains = gains_of(records, f"{dataset}: gain in mean Dice over the {BASELINE} on "
                                          "the same draw, mean ± standard deviation.")  # fmt: skip
                if gains.rows:
                    tables.append(gains)
                    report.table(gains)
                plot = _plot(folder, table, dataset)
                if plot is not None:
                    report.figure(plot, "Dice on volumes never seen, by number of labels.")
    write_tables(folder / "table.md", tables, metrics)
    return tables


Values = dict[tuple[str, int], dict[int, float]]  # by method and number, of each draw


def _values(records: Sequence[Record], structure: str) -> Values:
    found: Values = {}
    for record in records:
        split = parse_split(record.split)
        if split["structure"] == structure:
            key = record.method, int(split["labelled"])
            found.setdefault(key, {})[record.seed] = record.value
    return found


def by_labelled(records: Sequence[Record], structure: str, caption: str) -> Table:
    """Dice by the number of labelled volumes, over draws."""
    values = _values(records, structure)
    numbers = sorted({number for _, number in values})
    rows: list[list[Cell | str]] = [
        [name, *(summarise(values.get((name, n), {}).values()) for n in numbers)]
        for name in dict.fromkeys(name for name, _ in values)
    ]
    return Table(caption, ["method", *map(str, numbers)], rows)


def gains_of(records: Sequence[Record], caption: str) -> Table:
    """Each method's Dice less the baseline's of the same draw."""
    values = _values(records, "mean")
    numbers = sorted({number for name, number in values if name == BASELINE})
    rows = []
    for name in dict.fromkeys(name for name, _ in values):
        if name == BASELINE or METHODS[name].everything:
            continue
        cells: list[Cell | str] = [name]
        for n in numbers:
            own, base = values.get((name, n), {}), values.get((BASELINE, n), {})
            cells.append(summarise([own[draw] - base[draw] for draw in own if draw in base]))
        rows.append(cells)
    return Table(caption, ["method", *map(str, numbers)], rows)


def _plot(folder: Path, table: Table, dataset: str) -> Path | None:
    names = list(table.columns[1:])
    series = {
        str(row[0]): [cell for cell in row[1:] if isinstance(cell, Cell)] for row in table.rows
    }
    if len(names) < 2:
        return None
    return plots.lines(
        folder / f"{dataset}_dice_by_labels.png", [float(n) for n in names], series,
        title=f"{dataset}: volumes never seen", x_label="labelled volumes", y_label="mean Dice",
        log_x=True, ticks=names, emphasise=[BASELINE, *PROPOSED],
    )  # fmt: skip
