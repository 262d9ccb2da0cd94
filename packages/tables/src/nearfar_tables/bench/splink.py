"""splink (Fellegi-Sunter with EM, DuckDB) on the same rows, an optional peer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["SPLINK", "splink_is_there", "splink_pairs", "splink_sets"]

SPLINK = "splink"
SEAM = "-__-"  # between table and row in splink's keys
BEGINNING = 4  # characters of a column that two rows share where EM looks


def splink_is_there() -> bool:
    """Whether it is installed: ``pip install 'nearfar-tables[splink]'``."""
    return find_spec("splink") is not None


def splink_pairs(
    frame: pl.DataFrame, source: NDArray[np.int64], pairs: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which given pairs [P, 2] of rows of two sources match with a probability above one half.

    Jaro-Winkler in levels for every column; EM over rows whose first column, then whose second,
    begins alike; one partner for each row of the larger source before anything is seen.
    """
    tables = {f"t{number}": frame.filter(source == number) for number in (0, 1)}
    # Rows keep their number: the second source begins where the first ends.
    before = {"t0": 0, "t1": tables["t0"].height}
    linker, database = _linker(tables, before, [])
    from splink import block_on

    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=0)
    for column in frame.columns[:2]:
        rule = block_on(f"substr({column}, 1, {BEGINNING})")
        linker.training.estimate_parameters_using_expectation_maximisation(
            rule, record_sample_proportion=1.0
        )
    keys = pl.DataFrame(
        {
            "match_key": ["0"] * len(pairs),
            "join_key_l": [f"t0{SEAM}{row}" for row in pairs[:, 0].tolist()],
            "join_key_r": [f"t1{SEAM}{row}" for row in pairs[:, 1].tolist()],
        }
    )
    linker.table_management.register_blocked_pairs_for_predict(database.register(keys.to_arrow()))
    found = linker.inference.predict().as_duckdbpyrelation().pl()
    yes = found.filter(pl.col("match_probability") > 0.5)
    matching = set(yes.select("unique_id_l", "unique_id_r").rows())
    return np.array([(a, b) in matching or (b, a) in matching for a, b in pairs.tolist()])


def splink_sets(
    tables: Mapping[str, pl.DataFrame], rules: list[tuple[str, ...]]
) -> NDArray[np.int64]:
    """The set of each row, in the order of the tables.

    Args:
        rules: columns that two rows must share, of which one is enough; EM looks at the first two.
    """
    from splink import block_on

    heights = np.cumsum([0, *(table.height for table in tables.values())])
    before = dict(zip(tables, heights.tolist(), strict=False))
    blocking = [block_on(*columns) for columns in rules]
    linker, _ = _linker(tables, before, blocking)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=0)
    for rule in blocking[:2]:
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    found = linker.inference.predict(threshold_match_probability=0.5)
    sets = linker.clustering.cluster_pairwise_predictions_at_threshold(found, 0.5)
    frame = sets.as_duckdbpyrelation().pl().sort("unique_id")
    return np.asarray(frame["cluster_id"].rank("dense"), dtype=np.int64)


def _linker(
    tables: Mapping[str, pl.DataFrame], before: Mapping[str, int], rules: list[Any]
) -> tuple[Any, Any]:
    import splink.comparison_library as levels
    from splink import DuckDBAPI, Linker, SettingsCreator

    logging.getLogger("splink").setLevel(logging.ERROR)  # of levels that no pair of rows reaches
    database = DuckDBAPI(duckdb.connect())
    registered = [
        database.register(
            table.with_columns(unique_id=np.arange(table.height) + before[name]).to_arrow(),
            dataset_display_name=name,
        )
        for name, table in tables.items()
    ]
    columns = next(iter(tables.values())).columns
    settings = SettingsCreator(
        link_type="link_only",
        comparisons=[levels.JaroWinklerAtThresholds(column) for column in columns],
        blocking_rules_to_generate_predictions=rules,
        probability_two_random_records_match=1 / max(t.height for t in tables.values()),
    )
    return Linker(registered, settings, log_level=None), database
