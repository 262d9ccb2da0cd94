"""The demo: three simulated guides into one table, against joining what is spelt alike."""

from __future__ import annotations

import numpy as np
import polars as pl

from nearfar_kit.metrics import Metrics, Record
from nearfar_kit.run import RunFolder
from nearfar_kit.settings import load_settings
from nearfar_kit.table import Cell, Table, summarise
from nearfar_tables.cells import normal_text
from nearfar_tables.lake import Lake
from nearfar_tables.measures import b_cubed, pairwise_scores, set_similarity
from nearfar_tables.readers import read_all
from nearfar_tables.report import integration_report
from nearfar_tables.settings import TablesSettings
from nearfar_tables.simulate import simulate
from nearfar_tables.writers import write

__all__ = ["DEMO", "run_demo"]

DEMO = load_settings(TablesSettings, overrides=["epochs=3"])


def run_demo(
    run: RunFolder, metrics: Metrics, settings: TablesSettings, seed: int, quiet: bool
) -> Table:
    """Integrates, scores, writes the files and the report; gives the table of scores."""
    tables, truth = simulate(seed=seed)
    lake = Lake.of(tables, settings=settings, seed=seed, quiet=quiet)
    result = lake.result()
    names = pl.concat(tables.values())["name"].to_list()
    text = [normal_text(name) if name else f"row {n}" for n, name in enumerate(names)]
    found = {
        "same name": np.unique(text, return_inverse=True)[1],
        "nearfar": result.sets["set"].to_numpy(),
    }
    scores = ("pairwise F1", "B-cubed F1", "set similarity")
    rows: list[list[Cell | str]] = []
    for method, sets in found.items():
        values = [
            pairwise_scores(truth, sets)[2], b_cubed(truth, sets)[2], set_similarity(truth, sets)
        ]  # fmt: skip
        for name, value in zip(scores, values, strict=True):
            metrics.add([Record("simulated", "all", method, seed, name, value, len(truth))])
        rows.append([method, *(summarise([value]) for value in values)])
    metrics.write(run.metrics)
    for name in ("table", "sets", "pairs", "conflicts", "provenance"):
        write(getattr(result, name), run.path / f"{name}.csv")
    table = Table("Sets of rows against the truth, simulated guides.", ["method", *scores], rows)
    integration_report(run, metrics, lake, read_all(tables), result, table)
    return table
