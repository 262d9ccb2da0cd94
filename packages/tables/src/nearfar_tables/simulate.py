"""Simulated restaurants in the guides of three cities' publishers: a data lake with its truth.

A restaurant has a name, street, town, telephone and year. Each guide lists a share of them, writes
streets and telephones its own way, and garbles some rows by SSACL's perturbations; two guides are
careful, one is not. Chance comes from one seed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.atomic import replacing
from nearfar_tables.lexicon import synonyms
from nearfar_tables.perturb import perturbed

__all__ = ["simulate", "write_simulated"]

FIRST = [
    "golden", "blue", "silver", "old", "royal", "green", "little", "grand", "red", "lucky",
    "happy", "white",
]  # fmt: skip
SECOND = [
    "dragon", "lagoon", "olive", "anchor", "garden", "palace", "harbour", "lantern", "mill",
    "rose", "table", "oven",
]  # fmt: skip
KIND = ["restaurant", "cafe", "grill", "brewery"]
STREET = ["main", "king", "elm", "hill", "mill", "lake", "park", "church"]
TOWN = ["boston", "salem", "lowell", "quincy", "newton", "woburn"]
GARBLED = (0.2, 0.2, 0.6)  # share of a guide's rows that are perturbed, once or twice
COLUMNS = ("name", "street", "town", "telephone", "opened")


def simulate(
    restaurants: int = 200, *, share: float = 0.7, seed: int = 0
) -> tuple[dict[str, pl.DataFrame], NDArray[np.int64]]:
    """Three tables, and which restaurant each row is about, in the order of the tables."""
    rng = np.random.default_rng(seed)

    def draw(words: list[str]) -> str:
        return words[int(rng.integers(len(words)))]

    things = [
        [
            f"{draw(FIRST)} {draw(SECOND)} {draw(KIND)}",
            f"{rng.integers(1, 200)} {draw(STREET)} street",
            draw(TOWN),
            f"617 555 {rng.integers(1000, 10000)}",
            str(rng.integers(1950, 2024)),
        ]
        for _ in range(restaurants)
    ]
    words, tables, truth = synonyms(), {}, []
    for number, garbled in enumerate(GARBLED):
        listed = np.flatnonzero(rng.random(restaurants) < share)
        rows = []
        for thing in listed:
            row: list[str | None] = list(things[thing])
            row[1] = row[1] if number else str(row[1]).replace("street", "st")
            row[3] = str(row[3]).replace(" ", "-./"[number])
            if rng.random() < garbled:
                row = perturbed(row, rng, words, times=int(rng.integers(1, 3)))
            rows.append(row)
        tables[f"guide_{number + 1}"] = pl.DataFrame(
            rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row"
        )
        truth.extend(listed.tolist())
    return tables, np.array(truth)


def write_simulated(folder: Path, *, seed: int = 0) -> None:
    """``lake/``, a CSV a guide, and ``truth.csv``: which restaurant each row is about."""
    tables, truth = simulate(seed=seed)
    (folder / "lake").mkdir()
    source = [name for name, table in tables.items() for _ in range(table.height)]
    row = [n for table in tables.values() for n in range(table.height)]
    frames = {f"lake/{name}": table for name, table in tables.items()}
    frames["truth"] = pl.DataFrame({"table": source, "row": row, "restaurant": truth})
    for name, frame in frames.items():
        with replacing(folder / f"{name}.csv") as beside:
            frame.write_csv(beside)
