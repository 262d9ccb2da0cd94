"""What methods have more than a baseline on the same draw."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from statistics import fmean

from nearfar_kit.metrics import Record
from nearfar_kit.table import Cell, Table, gain

__all__ = ["gains"]


def gains(
    records: Sequence[Record],
    baseline: str,
    metrics: Sequence[str],
    caption: str,
    *,
    draw: Callable[[Record], Hashable] = lambda record: record.seed,
    shown: Callable[[Cell], Cell] = lambda cell: cell,
) -> Table:
    """A row a method with several draws, a column a metric; no row where there is no baseline.

    Args:
        records: of one data set.
        draw: what both have in common, a seed or a split; of several records of one draw, such as
            seeds on a split, the mean is taken.
        shown: how a gain is written, such as with more digits.
    """

    def by_draw(method: str, metric: str) -> dict[Hashable, float]:
        found: dict[Hashable, list[float]] = {}
        for record in records:
            if (record.method, record.metric) == (method, metric):
                found.setdefault(draw(record), []).append(record.value)
        return {own: fmean(values) for own, values in found.items()}

    theirs = {metric: by_draw(baseline, metric) for metric in metrics}
    rows: list[list[Cell | str]] = [
        [method, *(shown(gain(by_draw(method, m), theirs[m])) for m in metrics)]
        for method in dict.fromkeys(record.method for record in records)
        if method != baseline and theirs[metrics[0]] and len(by_draw(method, metrics[0])) > 1
    ]
    return Table(caption, ["method", *metrics], rows)
