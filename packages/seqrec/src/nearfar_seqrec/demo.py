"""The demo: simulated shoppers, short and noisy histories. Needs no data and no download."""

from __future__ import annotations

from typing import Any

from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table
from nearfar_seqrec.bench import compare
from nearfar_seqrec.data import split_from
from nearfar_seqrec.recommend import histories_of, recommend
from nearfar_seqrec.report import by_method, training_curve, write_comparison
from nearfar_seqrec.settings import SeqrecSettings
from nearfar_seqrec.simulate import CLICKS, simulate, write_clicks
from nearfar_seqrec.train import train

__all__ = ["DEMO", "run_demo"]

DEMO: dict[str, Any] = {
    "user_min": 1, "item_min": 1, "longest": 8, "layers": 1, "width": 32, "inner_width": 64,
    "batch": 128, "learning_rate": 5e-3, "epochs": 40, "validate_every": 2, "patience": 5,
    "dropout": 0.3, "view_weight": 0.1, "meta_weight": 0.02,
}  # fmt: skip
METHODS = ("popular", "item-kNN", "SASRec", "CL4SRec", "MCLRec")
PROCESSES = 2
SHOWN = 4  # people whose lists the report has


def run_demo(
    run: RunFolder, metrics: Metrics, settings: SeqrecSettings, seed: int, quiet: bool
) -> Table:
    """Compares, trains, recommends and reports; gives the table of the comparison."""
    data = run.path / CLICKS
    write_clicks(data, simulate(seed=seed))
    report = Report(
        "What will they take next?",
        "MCLRec on simulated shoppers. The simulator is stated in the package; its figures show "
        "that the method works, not how well it does on people.",
    )
    report.section(
        "What is compared",
        "600 people walk along 20 shelves and take 4 to 8 things each, three in ten by accident. "
        "The last thing of each is asked for, among all of the shop; the one before it chose the "
        "settings and the epoch. All networks have one loop, one loss for the next thing, as many "
        "settings to choose from, and train until they get no better.",
    )
    metrics.add(
        compare(
            "simulated", data, run.checkpoint / "jobs", settings, METHODS, 3,
            processes=PROCESSES, quiet=quiet,
        )
    )  # fmt: skip
    metrics.write(run.metrics)
    write_comparison(run.path, metrics, report)
    split = split_from(data, settings)
    recommender = train(split, settings, seed, run=run, quiet=quiet)
    report.section(
        "A trained model",
        f"In the run folder: nearfar-seqrec recommend --model {run.path} --item 'tea 1' "
        "--item 'coffee 2'.",
    )
    training_curve(report, run, recommender)
    known = split.sequences
    histories = histories_of(recommender, [str(name) for name in known.users[:SHOWN]])
    lists = recommend(recommender, histories, 5)
    rows = [
        [name, ", ".join(known.names(taken)),
         ", ".join(lists.filter(lists["user"] == name)["item"].to_list())]
        for name, taken in histories
    ]  # fmt: skip
    report.table(Table("Five things each.", ["who", "took", "may take next"], rows))
    end_report(report, run, metrics)
    caption = "Simulated shoppers: the last thing of each among all, mean ± deviation over 3 seeds."
    return by_method(metrics.records, ("hit@10", "ndcg@10", "mrr"), caption)
