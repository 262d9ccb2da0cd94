"""Claims of many sources with the truth, flights (raha) and books (record fusion)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_tables.canonical import canonical, kind_of
from nearfar_tables.cells import normal_text
from nearfar_tables.dirty_csv import read_csv
from nearfar_tables.resolution import Resolution

__all__ = ["FusionSet", "accuracy", "read_book", "read_flights"]


@dataclass(frozen=True)
class FusionSet:
    """Rows of claims, which thing each is about, who says it, and what is true.

    Attributes:
        frame: [N, columns]. sets, source: [N]. truth: [sets, columns], NULL where not known.
    """

    frame: pl.DataFrame
    sets: NDArray[np.int64]
    source: NDArray[np.int64]
    truth: pl.DataFrame


def read_flights(folder: Path) -> FusionSet:
    """``dirty.csv`` and ``clean.csv`` of raha's flights: four times of 100 flights by 38 sites."""
    columns = ["sched_dep_time", "act_dep_time", "sched_arr_time", "act_arr_time"]
    dirty = read_csv(_either(folder, "dirty"), ["src", *columns]).frame
    clean = read_csv(_either(folder, "clean"), ["flight", *columns]).frame
    if dirty.height != clean.height or clean["flight"].null_count():
        raise UserError(f"{folder}: dirty and clean are not of the same rows, each of a flight")
    _, first, sets = np.unique(clean["flight"].to_numpy(), return_index=True, return_inverse=True)
    _, source = np.unique(dirty["src"].to_numpy(), return_inverse=True)
    return FusionSet(dirty[columns], sets, source, clean[columns][first.tolist()])


def read_book(folder: Path) -> FusionSet:
    """``book_input_holo.csv`` and ``flaten_input_record.csv``: titles and authors by 586 stores."""
    columns = ["title", "author_list"]
    claims = read_csv(_either(folder, "book_input_holo"), ["isbn", "src", *columns]).frame
    golden = read_csv(
        _either(folder, "flaten_input_record"), ["attribute", "tid", "correct_val"]
    ).frame
    if claims["isbn"].null_count():
        raise UserError(f"{folder}: a claim has no isbn; expected one in each row")
    isbn, sets = np.unique(claims["isbn"].to_numpy(), return_inverse=True)
    _, source = np.unique(claims["src"].fill_null("").to_numpy(), return_inverse=True)
    wide = golden.pivot("attribute", index="tid", values="correct_val")
    truth = pl.DataFrame({"tid": isbn.tolist()}).join(wide, on="tid", how="left")
    return FusionSet(claims[columns], sets, source, truth.select(columns))


def accuracy(data: FusionSet, found: Resolution, column: str, *, exact: bool) -> tuple[float, int]:
    """Share of the conflicts of a column that were resolved rightly, and how many there are.

    A conflict is a set whose rows write different things, letter case aside, and whose truth is
    known. Right is what equals the truth, letter case aside (``exact``), or in the form of the
    column's type.
    """
    texts = data.frame[column].to_list()
    kind = kind_of((normal_text(text) for text in texts if text), column)
    written: dict[int, set[str]] = {}
    for number, text in zip(data.sets.tolist(), texts, strict=True):
        if text:
            written.setdefault(number, set()).add(text.casefold())
    right = total = 0
    for number, forms in written.items():
        truth = data.truth[column][number]
        if len(forms) > 1 and truth:
            total += 1
            value = found.table[column][number] or ""
            same = value.casefold() == truth.casefold()
            right += same if exact else canonical(value, kind) == canonical(truth, kind)
    return right / max(total, 1), total


def _either(folder: Path, name: str) -> Path:
    plain = folder / f"{name}.csv"
    return plain if plain.exists() else folder / f"{name}.csv.gz"
