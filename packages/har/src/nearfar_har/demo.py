"""The demo: simulated sensors, few labels, subjects never seen. Needs no data and no download."""

from __future__ import annotations

from nearfar_har.comparison import compare, write_comparison
from nearfar_har.report import training_pictures
from nearfar_har.settings import HarSettings
from nearfar_har.simulate import simulate
from nearfar_har.train import train
from nearfar_har.windows import Windows, cut_windows
from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table

__all__ = ["DEMO", "run_demo"]

DEMO = HarSettings(steps=250, labels=0.03)
METHODS = ("random forest", "supervised", "colossl")
SHARES = (0.01, 0.03, 0.1)
HELD_OUT = ("s9", "s10")


def demo_windows(seed: int) -> Windows:
    """Ten subjects, eight activities, a minute each, five sensors at 25 Hz."""
    return cut_windows(simulate(subjects=10, minutes_per_activity=1.0, seed=seed))


def run_demo(
    run: RunFolder, metrics: Metrics, settings: HarSettings, seed: int, quiet: bool
) -> Table:
    """Compares, trains, draws and reports; gives the table of the comparison."""
    windows = demo_windows(seed)
    report = Report(
        "Activity recognition from five body-worn sensors",
        "ColloSSL on simulated sensors: the devices on one body teach each other, a few labels "
        "name what they learnt. The simulator is stated in the package; its figures show that the "
        "method works, not how well it does on people.",
    )
    report.section(
        "What is compared",
        "Ten simulated subjects do eight activities. Some subjects are never seen in training: all "
        "figures are macro F1 on them. Every method gets the same few labelled windows; ColloSSL "
        "has learnt from the unlabelled ones before.",
    )
    compare(
        {"simulated": windows}, run, settings, metrics,
        methods=METHODS, seeds=2, ablation_seeds=1, folds=2, shares=SHARES, processes=2,
        quiet=quiet,
    )  # fmt: skip
    metrics.write(run.metrics)
    tables = write_comparison(run.path, metrics, report)
    rest, held_out = windows.split_by_subject(list(HELD_OUT))
    model = train(rest, settings, seed, run=run, quiet=quiet)
    report.section("A trained model", f"Trained with {settings.labels:.0%} of the labels.")
    training_pictures(report, run, model, rest, held_out, "two subjects never seen")
    end_report(report, run, metrics)
    return tables[0]
