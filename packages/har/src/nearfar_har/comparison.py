"""A comparison of methods: jobs run, tables and plots written from ``metrics.json`` alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearfar_har.bench import ABLATIONS, METHODS, make_jobs, run_jobs
from nearfar_har.report import by_device, by_share, percent, shares_plot
from nearfar_har.settings import HarSettings
from nearfar_har.windows import Windows, save_npz
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Metrics, Record, parse_split
from nearfar_kit.report import Report, write_tables
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table, spread_over

__all__ = ["PROFILES", "Profile", "compare", "usable_sets", "write_comparison"]


@dataclass(frozen=True)
class Profile:
    """How much a benchmark does.

    Attributes:
        folds: groups of subjects, each held out once; a large number is leave-one-subject-out.
    """

    seeds: int
    ablation_seeds: int
    folds: int
    shares: tuple[float, ...]
    settings: dict[str, object]
    methods: tuple[str, ...] = tuple(METHODS)


# Subjects whose scores chose the default settings; the others' are shown apart too.
CHOSEN_ON = {"dsads": ("p2", "p5")}
LEAST = 50  # windows of each activity that a comparison needs

PROFILES = {
    "smoke": Profile(1, 1, 2, (0.05, 0.25), {"steps": 20, "tuned_steps": 20}),
    # An hour on two cores: fewer steps than the default, and one seed for the ablations.
    "cpu": Profile(3, 1, 6, (0.01, 0.1, 0.25, 1.0), {"steps": 400}),
    "gpu": Profile(5, 5, 99, (0.01, 0.05, 0.1, 0.25, 0.5, 1.0), {"steps": 2000, "batch": 256}),
}


def usable_sets(data: dict[str, Windows], *, needed: bool) -> dict[str, Windows]:
    """The data sets fit to compare on; the others are named on stderr, or, ``needed``, refused.

    A share of 1 % names an activity by a window or two; with few windows of it in all, the mean
    over activities would be one or two windows' luck.
    """
    usable = {}
    for name, windows in data.items():
        counts = np.bincount(
            windows.activity[windows.activity >= 0], minlength=len(windows.activities)
        )
        rarest = min(np.flatnonzero(counts), key=counts.__getitem__, default=None)
        if rarest is None:
            message = f"{name}: no window is labelled; a comparison needs labels"
        elif counts[rarest] < LEAST:
            message = (
                f"{name}: {counts[rarest]} windows of {windows.activities[rarest]}; a comparison "
                f"needs {LEAST} of each"
            )
        else:
            usable[name] = windows
            continue
        if needed or len(data) == 1:
            raise UserError(message)
        print(f"left out: {message}", file=sys.stderr)
    return usable


def compare(
    data: dict[str, Windows],
    run: RunFolder,
    settings: HarSettings,
    metrics: Metrics,
    *,
    methods: Sequence[str],
    seeds: int,
    ablation_seeds: int,
    folds: int,
    shares: Sequence[float],
    processes: int,
    quiet: bool,
) -> None:
    """Runs every method on every data set, and adds the records to ``metrics``."""
    jobs, files = [], {}
    for name, windows in data.items():
        whole = [method for method in methods if method not in ABLATIONS]
        jobs += make_jobs(name, windows, whole, seeds, folds)
        ablations = [method for method in methods if method in ABLATIONS]
        jobs += make_jobs(name, windows, ablations, min(seeds, ablation_seeds), folds)
        files[name] = run.checkpoint / f"{name}-windows.npz"
        if not files[name].exists():
            save_npz(files[name], windows)
    metrics.add(
        run_jobs(
            jobs, files, run.checkpoint / "jobs", settings, shares, processes=processes, quiet=quiet
        )
    )


def write_comparison(folder: Path, metrics: Metrics, report: Report) -> list[Table]:
    """``table.md`` and plots into ``folder``, and both into the report; gives the tables."""
    tables = []
    for dataset in dict.fromkeys(record.dataset for record in metrics.records):
        records = [r for r in metrics.records if r.dataset == dataset]
        seeds = len({r.seed for r in records})
        over = f"subjects held out, {spread_over(seeds)}"
        if len({(r.method, r.seed) for r in records}) < seeds * len({r.method for r in records}):
            over += " (without ±: one seed)"
        shares = by_share(records, f"{dataset}: macro F1 by share of labels, {over}.")
        plot = shares_plot(
            folder, shares, dataset, ["colossl, fine-tuned", "colossl, linear probe", "supervised"]
        )
        report.section(dataset)
        report.table(shares)
        report.figure(plot, "Macro F1 on subjects never seen, by share of labels.")
        tables.append(shares)
        if dataset in CHOSEN_ON:
            others = [r for r in records if parse_split(r.split)["fold"] not in CHOSEN_ON[dataset]]
            whose = " and ".join(CHOSEN_ON[dataset])
            table = by_share(others, f"{dataset}: the same without {whose}, on whom the default "
                                     "settings were chosen.")  # fmt: skip
            if others:
                report.table(table)
                tables.append(table)
        for share in _shares(records):
            table = by_device(
                records,
                share,
                f"{dataset}: macro F1 by device, {percent(share)} of labels, {over}.",
            )
            report.table(table)
            tables.append(table)
    write_tables(folder / "table.md", tables, metrics)
    return tables


def _shares(records: Sequence[Record]) -> list[str]:
    return sorted({parse_split(record.split)["labels"] for record in records}, key=float)
