"""Embeddings of a file's sequences, streamed in and out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from nearfar_dna.composition import Floats
from nearfar_dna.model import DnaModel
from nearfar_dna.readers import Sequence, Tally, read_sequences
from nearfar_kit.atomic import replacing, write_atomic
from nearfar_kit.errors import UserError

__all__ = ["embed_file", "embedded", "read_embedding", "write_embedding"]

BASES = 4_000_000  # read before they are embedded


def embedded(
    model: DnaModel, path: Path, min_length: int, tally: Tally
) -> Iterator[tuple[list[str], list[int], Floats]]:
    """Ids, lengths and rows, some sequences at a time."""
    some: list[Sequence] = []
    bases = 0
    for sequence in read_sequences(path, min_length=min_length, tally=tally):
        some.append(sequence)
        bases += len(sequence)
        if bases >= BASES:
            yield _rows(model, some)
            some, bases = [], 0
    if some:
        yield _rows(model, some)


def _rows(model: DnaModel, some: list[Sequence]) -> tuple[list[str], list[int], Floats]:
    rows = model.embed([sequence.codes for sequence in some])
    return [sequence.id for sequence in some], [len(sequence) for sequence in some], rows


def embed_file(model: DnaModel, path: Path, min_length: int) -> tuple[pl.DataFrame, Floats, Tally]:
    """A table of ``id`` and ``length``, rows [N, width], and what was left out.

    Raises:
        UserError: no sequence is left.
    """
    tally = Tally()
    ids: list[str] = []
    lengths: list[int] = []
    parts = []
    for some, sizes, rows in embedded(model, path, min_length, tally):
        ids += some
        lengths += sizes
        parts.append(rows)
    if not parts:
        reason = "; ".join(tally.lines(min_length))
        raise UserError(f"{path}: no sequence is left{f' ({reason})' if reason else ''}")
    return pl.DataFrame({"id": ids, "length": lengths}), np.concatenate(parts), tally


def write_embedding(table: pl.DataFrame, rows: Floats, path: Path) -> None:
    """``.npy`` with the ids beside it (``.ids.txt``), or ``.parquet`` with both.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    if path.suffix == ".npy":
        with replacing(path) as beside, beside.open("wb") as file:
            np.save(file, rows)
        write_atomic(path.with_suffix(".ids.txt"), "".join(f"{name}\n" for name in table["id"]))
    elif path.suffix == ".parquet":
        series = pl.Series("embedding", rows, dtype=pl.Array(pl.Float32, rows.shape[1]))
        with replacing(path) as beside:
            table.with_columns(series).write_parquet(beside)
    else:
        raise UserError(f"--out {path}: ends in {path.suffix!r}; expected .npy or .parquet")


def read_embedding(path: Path) -> tuple[list[str], Floats]:
    """Ids and rows that :func:`write_embedding` wrote."""
    if path.suffix == ".npy":
        ids = path.with_suffix(".ids.txt").read_text(encoding="utf-8").splitlines()
        return ids, np.load(path, allow_pickle=False)
    frame = pl.read_parquet(path)
    return frame["id"].to_list(), frame["embedding"].to_numpy()
