"""The demo: a simulated shop, needing no download."""

from __future__ import annotations

from typing import Any

from nearfar_bundle.bench import METHODS, SIMPLE, Job, measured
from nearfar_bundle.construct import Limits, construct
from nearfar_bundle.data import split_of
from nearfar_bundle.report import by_method, comparison, training_curve
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.simulate import simulate
from nearfar_bundle.train import train
from nearfar_kit.atomic import replacing
from nearfar_kit.metrics import Metrics
from nearfar_kit.progress import Progress
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table, spread_over

__all__ = ["DEMO", "run_demo"]

DEMO: dict[str, Any] = {"epochs": 12, "patience": 4}
COMPARED = (SIMPLE, "nearfar", "CLHE as published")
SPLITS = 2
SHOWN = ("recall@20", "ndcg@20")  # what eighty columns hold


def run_demo(
    run: RunFolder, metrics: Metrics, settings: BundleSettings, seed: int, quiet: bool
) -> Table:
    """Compares, trains, builds bundles, reports; gives of the comparison what a terminal holds."""
    known = simulate(seed=seed)
    report = Report(
        "What belongs together?",
        f"A simulated shop: {len(known)} items, {known.bundles.shape[0]} bundles; half of a bundle "
        "is shown, the rest is to be found.",
    )
    report.section(
        "What is compared",
        "Bundles come once, near-duplicates on one side of the split, and nothing that training "
        "reads knows of held-out bundles. The best blend weighs all simple scores by what it finds "
        "in the validation part, which also chose nearfar's epoch.",
    )
    jobs = [Job(known.name, method, split, seed) for split in range(SPLITS) for method in COMPARED]
    assert all(method in METHODS for method in COMPARED)
    with Progress("comparing", len(jobs), quiet=quiet) as bar:
        for job in jobs:
            metrics.add(measured(job, known, settings))
            bar.advance(last=job.method)
    comparison(run.path, metrics.records, report)
    split = split_of(known, settings, seed)
    builder = train(split, settings, seed, run=run, quiet=quiet)
    report.section("A trained model")
    training_curve(report, run, builder)
    asked = split.test.shown[:3]
    shown = {
        str(known.bundle_names[bundle]): [str(known.items[i]) for i in asked[row].indices]
        for row, bundle in enumerate(split.test.bundles[:3])
    }
    frame = construct(builder, shown, 3, Limits(budget=400.0, each={"*": 1}, diversity=0.2))
    with replacing(run.path / "bundles.csv") as beside:
        frame.write_csv(beside)
    title = dict(zip(known.items.tolist(), known.texts["title"], strict=True))
    rows = [
        [bundle, str(rank), title[item], reason]
        for bundle, rank, item, _, reason in frame.iter_rows()
    ]
    for bundle, items in shown.items():
        report.section(f"{bundle}, given: " + "; ".join(title[item] for item in items))
        own = [row[1:] for row in rows if row[0] == bundle]
        report.table(Table("Added, one of a kind, within 400.", ["rank", "item", "why"], own))
    end_report(report, run, metrics)
    caption = f"{known.name}: honest split, {spread_over(SPLITS, 'split')}."
    return by_method(metrics.records, SHOWN, caption)
