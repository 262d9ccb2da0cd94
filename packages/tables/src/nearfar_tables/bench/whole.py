"""The whole job: dialite's lakes to one table each, against their stored full disjunction.

A full disjunction joins a row to all that it can be joined to, so that one stadium stands in the
rows of all its players; integration gives each input row one place.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment

from nearfar_kit.metrics import Metrics, Record
from nearfar_kit.table import Cell, Table, summarise
from nearfar_tables.alignment import align
from nearfar_tables.bench.part import Ask
from nearfar_tables.canonical import canonical
from nearfar_tables.cells import texts_of
from nearfar_tables.dirty_csv import read_csv
from nearfar_tables.integration import integrate
from nearfar_tables.readers import read_all
from nearfar_tables.union import outer_union

__all__ = ["agreement", "measure", "tables"]

LAKES = {"stadiums": "stadiums_0", "covid19": "covid19_t1"}
ELSEWHERE = {"stadium": "facility"}  # what the stored tables call a column
METRICS = ("rows", "row similarity", "cell precision", "cell recall")


def measure(ask: Ask, metrics: Metrics) -> bool:
    """Whether there was one of dialite's lakes."""
    root = ask.root / "dialite"
    there = {name: key for name, key in LAKES.items() if (root / "integration-set" / key).is_dir()}
    for name, key in there.items():
        folder = root / "integration-set" / key
        sources = read_all(folder)
        full, joined = (
            read_csv(root / "integration-result" / f"{how}_{key}.csv").frame
            for how in ("alite_fd", "outerjoin")
        )
        found = {
            "nearfar": integrate(folder, settings=ask.settings).table,
            "outer union": outer_union(sources, align(sources)).frame,
            "outer join (dialite)": joined,
        }
        for method, table in found.items():
            scores = (float(table.height), *agreement(full, table))
            metrics.add(
                Record(name, "full disjunction", method, 0, metric, score, full.height)
                for metric, score in zip(METRICS, scores, strict=True)
            )
    return bool(there)


def agreement(truth: pl.DataFrame, found: pl.DataFrame) -> tuple[float, float, float]:
    """How well rows agree, one to one so that the sum of Jaccard over their cells is largest.

    Returns:
        That sum over the larger number of rows; the share of found cells that their row's partner
        has; the share of true cells so found.
    """
    true, own = _cells(truth), _cells(found)
    shared = np.array([[len(a & b) for b in own] for a in true], dtype=float)
    sizes = np.add.outer([len(a) for a in true], [len(b) for b in own])
    jaccard = shared / np.maximum(sizes - shared, 1)
    pairs = linear_sum_assignment(-jaccard)
    both = shared[pairs].sum()
    return (
        float(jaccard[pairs].sum() / max(len(true), len(own))),
        float(both / max(sum(map(len, own)), 1)),
        float(both / max(sum(map(len, true)), 1)),
    )


def _cells(frame: pl.DataFrame) -> list[set[tuple[str, str]]]:
    """Each row's columns with the form of what stands there."""
    rows: list[set[tuple[str, str]]] = [set() for _ in range(frame.height)]
    for name in frame.columns:
        column = ELSEWHERE.get(name.casefold(), name.casefold())
        if column == "index":
            continue
        for row, text in enumerate(texts_of(frame[name]).to_list()):
            form = None if text is None else canonical(text, "text")
            if form is not None:
                rows[row].add((column, form))
    return rows


def tables(metrics: Metrics) -> list[Table]:
    """Methods by lake and metric."""
    own = [record for record in metrics.records if record.split == "full disjunction"]
    lakes = list(dict.fromkeys(record.dataset for record in own))
    rows: list[list[Cell | str]] = []
    for method in dict.fromkeys(record.method for record in own):
        value = {(r.dataset, r.metric): r.value for r in own if r.method == method}
        rows.append([method, *(
            f"{value[lake, metric]:.0f}" if metric == "rows" else summarise([value[lake, metric]])
            for lake in lakes for metric in METRICS
        )])  # fmt: skip
    height = {record.dataset: record.n for record in own}
    sizes = " and ".join(f"{height[lake]} ({lake})" for lake in lakes)
    heads = [f"{lake}, {metric}" for lake in lakes for metric in METRICS]
    caption = f"Against the stored full disjunction of {sizes} rows."
    return [Table(caption, ["method", *heads], rows)]
