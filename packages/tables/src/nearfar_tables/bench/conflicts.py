"""Conflicts of flights and books, decided by every resolver."""

from __future__ import annotations

from collections.abc import Sequence

from nearfar_kit.metrics import Metrics, Record, split_key
from nearfar_kit.table import Cell, Table, summarise
from nearfar_tables.bench.part import Ask
from nearfar_tables.fusion import FusionSet, accuracy, read_book, read_flights
from nearfar_tables.resolution import RESOLVERS, resolve

__all__ = ["measure", "tables"]

EXACT, CANONICAL = "exact accuracy", "canonical accuracy"


def measure(ask: Ask, metrics: Metrics) -> bool:
    """Whether there was one of ``raha/flights`` and ``recordfusion/book``."""
    fused = _fusion_sets(ask)
    for name, claims in fused.items():
        for resolver in RESOLVERS:
            resolved = resolve(claims.frame, claims.sets, source=claims.source, method=resolver)
            for column in claims.frame.columns:
                for exact in (True, False):
                    share, n = accuracy(claims, resolved, column, exact=exact)
                    split = split_key(column=column)
                    kind = EXACT if exact else CANONICAL
                    metrics.add([Record(name, split, resolver, 0, kind, share, n)])
    return bool(fused)


def _fusion_sets(ask: Ask) -> dict[str, FusionSet]:
    readers = {"flights": ("raha/flights", read_flights), "book": ("recordfusion/book", read_book)}
    return {
        name: read(ask.root / path)
        for name, (path, read) in readers.items()
        if (ask.root / path).is_dir()
    }


def tables(metrics: Metrics) -> list[Table]:
    found = []
    for kind in (EXACT, CANONICAL):
        own = [record for record in metrics.records if record.metric == kind]
        columns = list(dict.fromkeys((r.dataset, r.split) for r in own))
        if not columns:
            continue
        rows: list[list[Cell | str]] = []
        for method in dict.fromkeys(record.method for record in own):
            mine = {(r.dataset, r.split): r for r in own if r.method == method}
            cells = [summarise([mine[column].value]) for column in columns]
            whole = [_pooled([r for r in mine.values() if r.dataset == name])
                     for name in dict.fromkeys(r.dataset for r in own)]  # fmt: skip
            rows.append([method, *cells, *whole])
        heads = [f"{name} {split.removeprefix('column=')}" for name, split in columns]
        heads += [f"{name}, all" for name in dict.fromkeys(r.dataset for r in own)]
        found.append(Table(f"Conflicts: {kind}.", ["method", *heads], rows))
    return found


def _pooled(records: Sequence[Record]) -> Cell:
    return summarise([sum(r.value * r.n for r in records) / sum(r.n for r in records)])
