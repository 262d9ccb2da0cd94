"""The demo: a part of MovieLens 100k, which RecBole carries. Needs no download."""

from __future__ import annotations

from typing import Any

from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table
from nearfar_seqrec.bench import compare
from nearfar_seqrec.data import ml_100k, split_from
from nearfar_seqrec.recommend import histories_of, recommend
from nearfar_seqrec.report import end_report, training_curve, write_comparison
from nearfar_seqrec.settings import SeqrecSettings
from nearfar_seqrec.train import train

__all__ = ["DEMO", "run_demo"]

DEMO: dict[str, Any] = {
    "recent": 32, "longest": 20, "layers": 1, "batch": 64, "learning_rate": 3e-3, "epochs": 12,
    "validate_every": 3, "dropout": 0.3,
}  # fmt: skip
METHODS = ("popular", "item-kNN", "SASRec", "MCLRec")


def run_demo(
    run: RunFolder, metrics: Metrics, settings: SeqrecSettings, seed: int, quiet: bool
) -> Table:
    """Compares, trains, recommends and reports; gives the table of the comparison."""
    report = Report(
        "What will they watch next?",
        "MCLRec on MovieLens 100k (Harper, Konstan 2015), each person's last 32 films, as RecBole "
        "ships it.",
    )
    report.section(
        "What is compared",
        "The last film of each person is asked for, among all films; the one before it chose the "
        "epoch. All networks have one loop, one budget and one loss for the next film.",
    )
    metrics.add(
        compare("ml-100k", ml_100k(), run.checkpoint / "jobs", settings, METHODS, 2, processes=2,
                quiet=quiet)
    )  # fmt: skip
    metrics.write(run.metrics)
    tables = write_comparison(run.path, metrics, report)
    split = split_from(ml_100k(), settings)
    recommender = train(split, settings, seed, run=run, quiet=quiet)
    report.section("A trained model")
    training_curve(report, run, recommender)
    users = [str(name) for name in split.sequences.users[:3]]
    frame = recommend(recommender, histories_of(recommender, users), 5)
    rows = [[str(value) for value in row] for row in frame.select("user", "rank", "item").rows()]
    report.table(Table("Five films each, by number.", ["user", "rank", "film"], rows))
    end_report(report, run, metrics)
    return tables[0]
