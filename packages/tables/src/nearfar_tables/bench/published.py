"""The paper's own benchmarks, for those who hold them: ``Real`` and ``Join`` sets."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from nearfar_kit.metrics import Metrics, Record
from nearfar_kit.table import Cell, Table, summarise
from nearfar_tables.bench.part import Ask
from nearfar_tables.benchmark_layout import IntegrationSet, find_sets, read_set
from nearfar_tables.conflicts import NeighbourJudge
from nearfar_tables.conflicts.question import Example
from nearfar_tables.integration import integrate
from nearfar_tables.measures import set_similarity

__all__ = ["measure", "tables"]

EXAMPLES = 10
SPLIT = "published"
METRICS = ("F1 of pairs", "set similarity", "conflict accuracy")


def measure(ask: Ask, metrics: Metrics) -> bool:
    """Whether there was a set."""
    found = find_sets(ask.root)
    for path in found:
        data = read_set(path)
        scores = _scores(data, ask)
        metrics.add(
            Record(data.name, SPLIT, "nearfar", 0, metric, score, data.frame.height)
            for metric, score in zip(METRICS, scores, strict=True)
        )
    return bool(found)


def _scores(data: IntegrationSet, ask: Ask) -> tuple[float, float, float]:
    result = integrate({"t": data.frame}, settings=ask.settings)
    yes = result.pairs.filter("match").select("left_row", "right_row").rows()
    judged = {(min(pair), max(pair)) for pair in yes}
    f1 = 2 * len(judged & data.pairs) / max(len(judged) + len(data.pairs), 1)
    sets = result.sets["set"].to_numpy()
    return f1, set_similarity(data.sets, sets), _conflicts(data)


def _conflicts(data: IntegrationSet) -> float:
    """Share that neighbours decide rightly: rows of the table that agree with what is known, each
    by how much of it; where none speaks, the first candidate stands."""
    asked = []
    for question in data.questions:
        agree = sum(
            (data.frame[name] == value).fill_null(False).cast(pl.Int64)
            for name, value in question.known.items()
            if name in data.frame.columns
        )
        rows = pl.DataFrame({"value": data.frame[question.attribute], "weight": agree})
        alike = rows.filter(pl.col("weight") > 0).drop_nulls().sort("weight", descending=True)
        examples = tuple(
            Example({}, value, weight / len(question.known))
            for value, weight in alike.head(EXAMPLES).iter_rows()
        )
        asked.append(replace(question, examples=examples))
    if not asked:
        return float("nan")
    answers = NeighbourJudge()(asked)
    right = [
        question.candidates[answer.candidate or 0] == truth
        for question, answer, truth in zip(asked, answers, data.answers, strict=True)
    ]
    return sum(right) / len(right)


def tables(metrics: Metrics) -> list[Table]:
    """Sets by metric."""
    own = [record for record in metrics.records if record.split == SPLIT]
    rows: list[list[Cell | str]] = []
    for name in dict.fromkeys(record.dataset for record in own):
        value = {r.metric: r.value for r in own if r.dataset == name}
        rows.append([name, *(summarise([value[metric]]) for metric in METRICS)])
    return [Table("The published sets, without labels.", ["set", *METRICS], rows)]
