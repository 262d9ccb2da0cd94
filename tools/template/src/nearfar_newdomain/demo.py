"""The demo: simulated measurements. Needs no data and no download."""

from __future__ import annotations

from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table
from nearfar_newdomain.bench import compare, comparison
from nearfar_newdomain.settings import NewDomainSettings
from nearfar_newdomain.simulate import simulate

__all__ = ["run_demo"]


def run_demo(
    run: RunFolder, metrics: Metrics, settings: NewDomainSettings, seed: int, quiet: bool
) -> Table:
    """Compares and reports; gives the table of the comparison."""
    report = Report(
        "Things measured twice",
        "Simulated measurements. The figures show that the method works, not how well it does on "
        "real ones.",
    )
    report.section(
        "What is compared",
        "Eight directions tell what a thing is, 24 are loud and tell nothing. Half of the things "
        "are never trained on.",
    )
    metrics.add(compare(simulate(seed=seed), "simulated", settings, quiet=quiet))
    metrics.write(run.metrics)
    table = comparison(run, metrics.records, report)
    end_report(report, run, metrics)
    return table
