"""All parts that are asked for, one after another, into one run folder."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report, facts
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table
from nearfar_tables.bench import conflicts, matching, noise, published, scale, whole
from nearfar_tables.bench.part import Ask

__all__ = ["PARTS", "UNASKED", "run_bench"]

# A part measures into the metrics, if the data holds what it needs, and makes tables of them.
PARTS: dict[str, ModuleType] = {
    "matching": matching,
    "conflicts": conflicts,
    "noise": noise,
    "whole": whole,
    "published": published,
    "scale": scale,
}
UNASKED = tuple(name for name in PARTS if name != "scale")  # which takes half an hour


def run_bench(ask: Ask, parts: Sequence[str], run: RunFolder, metrics: Metrics) -> list[Table]:
    """Measures, and writes ``metrics.json``, ``table.md`` and the report.

    Args:
        parts: names of ``PARTS``.

    Raises:
        UserError: an unknown part; the data holds nothing of any; those of the parts.
    """
    for name in parts:
        if name not in PARTS:
            raise UserError(f"--parts {name}: expected some of {'; '.join(PARTS)}")
    done = [name for name in parts if PARTS[name].measure(ask, metrics)]
    if not done:
        raise UserError(
            f"--data {ask.root}: expected folders ditto/er_magellan, raha, recordfusion, febrl, "
            "dialite, Real or Join"
        )
    metrics.write(run.metrics)
    tables = [table for name in done for table in PARTS[name].tables(metrics)]
    report = Report(
        "Tables: matching without labels, sets, conflicts",
        "The threshold is the method's own; rows are seen without their labels.",
    )
    for table in tables:
        report.table(table)
    report.facts(facts(metrics))
    report.write(run.report)
    told = "; ".join(f"{what}: {value}" for what, value in facts(metrics).items())
    write_atomic(run.path / "table.md", "\n".join([*(t.markdown() for t in tables), told + ".\n"]))
    return tables
