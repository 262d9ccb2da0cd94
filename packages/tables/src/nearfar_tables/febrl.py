"""People of febrl: its data sets with their truth, and as many more as are wanted.

febrl makes people up from Australian name lists (Christen 2008); ``rec-7-dup-1`` and ``rec-7-org``
are the same one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_tables.dirty_csv import read_csv
from nearfar_tables.noise import inject

__all__ = ["amplified", "read_febrl"]

PLACE = ("suburb", "postcode", "state")  # stay together
LISTED = 0.625  # of all people, by a register


def read_febrl(path: Path) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """A data set without its ``rec_id``, and which person each row is about."""
    frame = read_csv(path, ["rec_id", *PLACE]).frame
    frame = frame.with_columns(pl.all().str.strip_chars()).with_columns(pl.all().replace("", None))
    person = frame["rec_id"].str.extract(r"rec-(\d+)").cast(pl.Int64, strict=False)
    if person.null_count():
        raise UserError(f"{path}: a rec_id is none of febrl's; expected rec-N-org or rec-N-dup-M")
    return frame.drop("rec_id"), person.to_numpy()


def amplified(
    people: pl.DataFrame, rows: int, *, registers: int = 4, mix: str = "balanced", seed: int = 0
) -> tuple[dict[str, pl.DataFrame], NDArray[np.int64]]:
    """About ``rows`` rows in registers that list a person once each, four of five with noise.

    A new person has the names, street and place of febrl's people, each drawn by itself, and a day
    of birth and a number of its own.

    Args:
        people: of :func:`read_febrl`, originals.

    Returns:
        The registers, and the person of each row, in the order of the registers.
    """
    rng = np.random.default_rng(seed)
    count = round(rows / registers / LISTED)
    drawn = {
        name: people[name].gather(rng.integers(people.height, size=count))
        for name in people.columns
        if name not in PLACE
    }
    where = rng.integers(people.height, size=count)
    drawn |= {name: people[name].gather(where) for name in PLACE}
    days = np.datetime64("1900-01-01") + rng.integers(36_525, size=count)
    drawn["date_of_birth"] = pl.Series(days).dt.strftime("%Y%m%d")
    drawn["soc_sec_id"] = pl.Series(rng.integers(1_000_000, 10_000_000, size=count)).cast(pl.String)
    everyone = pl.DataFrame({name: drawn[name] for name in people.columns})
    tables, truth = {}, []
    for number in range(registers):
        listed = np.flatnonzero(rng.random(count) < LISTED)
        rng.shuffle(listed)
        tables[f"register_{number + 1}"] = inject(everyone[listed], mix, rng, share=0.8, most=4)
        truth.append(listed)
    return tables, np.concatenate(truth)
