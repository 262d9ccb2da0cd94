"""Tables and pictures of a comparison, from ``metrics.json`` alone, and of one embedding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from nearfar_dna.baselines import TARGET
from nearfar_dna.bench import OURS
from nearfar_dna.composition import Floats, unit_rows
from nearfar_dna.evaluate import LEVELS, SHOTS
from nearfar_kit import plots
from nearfar_kit.metrics import Metrics, Record, parse_split
from nearfar_kit.report import Report, write_tables
from nearfar_kit.table import Cell, Table, gain, spread_over, summarise

__all__ = ["embedding_picture", "over_folds", "write_comparison"]


def over_folds(records: Sequence[Record], **wanted: str) -> Cell:
    """Mean and spread over seeds; of each seed the mean over folds and what else is not asked."""
    return summarise(_by_seed(records, wanted).values())


def _by_seed(records: Sequence[Record], wanted: dict[str, str]) -> dict[int, float]:
    by_seed: dict[int, list[float]] = {}
    where = {k: v for k, v in wanted.items() if k != "metric"}
    for record in records:
        parts = parse_split(record.split)
        if record.metric == wanted["metric"] and all(parts[k] == v for k, v in where.items()):
            by_seed.setdefault(record.seed, []).append(record.value)
    return {seed: float(np.mean(values)) for seed, values in by_seed.items()}


def write_comparison(folder: Path, metrics: Metrics, report: Report) -> list[Table]:
    """``table.md`` and plots into ``folder``, and both into the report; gives the tables."""
    tables = []
    for dataset in dict.fromkeys(record.dataset for record in metrics.records):
        report.section(dataset)
        for by in dict.fromkeys(parse_split(r.split)["by"] for r in metrics.records):
            own = [
                r for r in metrics.records
                if r.dataset == dataset and parse_split(r.split)["by"] == by
            ]  # fmt: skip
            new = _tables(dataset, by, own)
            tables += new
            path = folder / f"{dataset}_{by}_f1_by_shots.png"
            _shots_plot(path, own, f"{dataset}: {_unseen(by)} not seen in training, 5 kb")
            for table in new:
                report.table(table)
            report.figure(path, "Macro F1 by labelled sequences a species.")
    write_tables(folder / "table.md", tables, metrics)
    return tables


def _unseen(by: str) -> str:
    return {"strain": "strains", "validation": "species for choosing settings"}.get(by, "species")


def _tables(dataset: str, by: str, records: list[Record]) -> list[Table]:
    conditions = list(dict.fromkeys(
        (parse_split(r.split)["length"], parse_split(r.split)["errors"]) for r in records
    ))  # fmt: skip
    methods = list(dict.fromkeys(record.method for record in records))
    seeds = len({record.seed for record in records})
    over = spread_over(seeds)
    what = f"{dataset}, {_unseen(by)} not seen in training"

    def cells(method: str, asked: Sequence[dict[str, str]]) -> list[Cell | str]:
        own = [record for record in records if record.method == method]
        return [method, *(over_folds(own, **one) for one in asked)]

    def gains(asked: Sequence[dict[str, str]]) -> list[list[Cell | str]]:
        theirs = [_by_seed([r for r in records if r.method == TARGET], one) for one in asked]
        rows: list[list[Cell | str]] = []
        for method in methods:
            own = [record for record in records if record.method == method]
            pairs = zip(asked, theirs, strict=True)
            rows.append([method, *(gain(_by_seed(own, one), their) for one, their in pairs)])
        return [row for row in rows if row[0] != TARGET]

    def names(metric: str) -> list[str]:
        return [f"{metric} {int(n) / 1000:g} kb, {float(e):.0%}" for n, e in conditions]

    at = [{"length": n, "errors": e} for n, e in conditions]
    ari = [{"metric": "ari"} | one for one in at]
    two = [{"metric": "f1@2"} | one for one in at]
    have = {record.metric for record in records}
    shots = [f"f1@{n}" for n in SHOTS if f"f1@{n}" in have]
    middle = at[len(at) // 2 - 1] if len(at) > 1 else at[0]
    if {"length": "5000", "errors": "0.0"} in at:
        middle = {"length": "5000", "errors": "0.0"}
    rest = [*shots, *(f"binned>{level}" for level in LEVELS)]
    published = ["nmi", "homogeneity", "completeness", *(f"published>{level}" for level in LEVELS)]
    where = f"{int(middle['length']) / 1000:g} kb, {float(middle['errors']):.0%} errors"
    gained = [] if TARGET not in methods else [
        Table(
            f"{what}: {measure} less that of {TARGET}, same seed and fragments; {over}.",
            ["method", *names(short)], gains(asked),
        )
        for measure, short, asked in (("ARI", "ARI", ari), ("2-shot macro F1", "F1", two))
    ]  # fmt: skip
    return [
        Table(
            f"{what}: K-means ARI by length and read errors, {over}.",
            ["method", *names("ARI")], [cells(m, ari) for m in methods],
        ),
        Table(
            f"{what}: 2-shot macro F1 by length and read errors, {over}.",
            ["method", *names("F1")], [cells(m, two) for m in methods],
        ),
        *gained,
        Table(
            f"{what}: macro F1 by labelled sequences a species, and the share of species binned at "
            f"F1 above 0.5 to 0.9 without labels; {where}; {over}.",
            ["method", *rest],
            [cells(m, [{"metric": name} | middle for name in rest]) for m in methods],
        ),
        Table(
            f"{what}: K-means against species, and the share of species binned as published: the "
            "threshold from labelled sequences, what is unbinned not counted; "
            f"{where}; {over}.",
            ["method", *published],
            [cells(m, [{"metric": name} | middle for name in published]) for m in methods],
        ),
    ]  # fmt: skip


def _shots_plot(path: Path, records: list[Record], title: str) -> None:
    have = {record.metric for record in records}
    shots = [n for n in SHOTS if f"f1@{n}" in have]
    series = {}
    for method in dict.fromkeys(record.method for record in records):
        own = [
            r
            for r in records
            if r.method == method
            and parse_split(r.split) | {"length": "5000", "errors": "0.0"} == parse_split(r.split)
        ]
        if own:
            series[method] = [over_folds(own, metric=f"f1@{n}") for n in shots]
    plots.lines(
        path, shots, series, title=title, x_label="labelled sequences a species",
        y_label="macro F1", log_x=True, ticks=[str(n) for n in shots], emphasise=[OURS, TARGET],
    )  # fmt: skip


def embedding_picture(
    path: Path, rows: Floats, labels: NDArray[np.int64], names: Sequence[str], title: str
) -> Path:
    """Two dimensions (t-SNE) of an embedding, coloured by species."""
    unit = unit_rows(rows)
    reduced = PCA(min(20, *unit.shape), random_state=0).fit_transform(unit)
    perplexity = min(30.0, (len(unit) - 1) / 3)
    points = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced)
    return plots.scatter_by_class(path, points, labels, names, title=title)
