"""Embeddings of a file's sequences, streamed in and out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from nearfar_dna.composition import Floats
from nearfar_dna.model import DnaModel
from nearfar_dna.readers import Sequence, Tally, read_sequences
from nearfar_kit.arrays import read_array
from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError
from nearfar_kit.progress import Progress

__all__ = ["embed_file", "embed_to", "embedded", "read_embedding"]

BASES = 4_000_000  # read before they are embedded
PARTS = 100  # of a file, in its progress


class Writer(Protocol):
    """Takes some sequences' ids, lengths and rows."""

    def __call__(self, ids: list[str], lengths: list[int], rows: Floats) -> None: ...


def embedded(
    model: DnaModel, path: Path, min_length: int, tally: Tally, *, quiet: bool = True
) -> Iterator[tuple[list[str], list[int], Floats]]:
    """Ids, lengths and rows, some sequences at a time; memory does not grow with the file.

    Raises:
        UserError: no sequence is left.
    """
    some: list[Sequence] = []
    bases, began = 0, time.monotonic()
    with Progress(f"embedding {path.name}, % of it", PARTS, quiet=quiet) as bar:
        for sequence in read_sequences(path, min_length=min_length, tally=tally):
            some.append(sequence)
            bases += len(sequence)
            if bases >= BASES:
                yield _rows(model, some)
                some, bases = [], 0
                while bar.done < int(PARTS * tally.share):
                    bar.advance(**{"Mb/s": tally.bases / 1e6 / (time.monotonic() - began)})
        if some:
            yield _rows(model, some)
    if not tally.kept:
        reason = "; ".join(filter(None, [*tally.lines(min_length), tally.mistake]))
        how = "; --min-length N takes shorter ones" if tally.short else ""
        raise UserError(f"{path}: no sequence is left ({reason}){how}")


def _rows(model: DnaModel, some: list[Sequence]) -> tuple[list[str], list[int], Floats]:
    rows = model.embed([sequence.codes for sequence in some])
    return [sequence.id for sequence in some], [len(sequence) for sequence in some], rows


def embed_file(
    model: DnaModel, path: Path, min_length: int, *, quiet: bool = True
) -> tuple[pl.DataFrame, Floats, Tally]:
    """A table of ``id`` and ``length``, rows [N, width], and what was left out."""
    tally = Tally()
    ids: list[str] = []
    lengths: list[int] = []
    parts = []
    for some, sizes, rows in embedded(model, path, min_length, tally, quiet=quiet):
        ids += some
        lengths += sizes
        parts.append(rows)
    return pl.DataFrame({"id": ids, "length": lengths}), np.concatenate(parts), tally


def embed_to(
    model: DnaModel, path: Path, out: Path, min_length: int, *, quiet: bool = True
) -> Tally:
    """Rows of a file's sequences into another as they come.

    Args:
        out: ``.npy`` with the ids beside it (``.ids.txt``), or ``.parquet`` of id, length and
            embedding.

    Raises:
        UserError: another ending, no sequence is left, or the file cannot be written.
    """
    tally = Tally()
    with _writer(out, model.encoder.width) as write:
        for ids, lengths, rows in embedded(model, path, min_length, tally, quiet=quiet):
            write(ids, lengths, rows)
    return tally


def _writer(out: Path, width: int) -> AbstractContextManager[Writer]:
    if out.suffix.lower() == ".npy":
        return _npy(out, width)
    if out.suffix.lower() == ".parquet":
        return _parquet(out, width)
    raise UserError(f"--out {out}: ends in {out.suffix!r}; expected .npy or .parquet")


@contextmanager
def _npy(path: Path, width: int) -> Iterator[Writer]:
    count = 0

    def head(file: IO[bytes]) -> None:
        # numpy leaves room for the first axis to grow: a longer count takes no more bytes.
        description = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
        np.lib.format.write_array_header_1_0(file, description)

    def write(ids: list[str], lengths: list[int], rows: Floats) -> None:
        nonlocal count
        count += len(rows)
        file.write(rows.astype("<f4").tobytes())
        names.writelines(f"{name}\n" for name in ids)

    with (
        replacing(path) as beside,
        replacing(path.with_suffix(".ids.txt")) as names_beside,
        beside.open("wb") as file,
        names_beside.open("w", encoding="utf-8") as names,
    ):
        head(file)
        yield write
        file.seek(0)
        head(file)


@contextmanager
def _parquet(path: Path, width: int) -> Iterator[Writer]:
    schema = pa.schema(
        {"id": pa.string(), "length": pa.int64(), "embedding": pa.list_(pa.float32(), width)}
    )

    def write(ids: list[str], lengths: list[int], rows: Floats) -> None:
        flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), width)
        file.write_table(pa.table([pa.array(ids), pa.array(lengths), flat], schema=schema))

    with replacing(path) as beside, pq.ParquetWriter(beside, schema) as file:
        yield write


def read_embedding(path: Path) -> tuple[list[str], Floats]:
    """Ids and rows that :func:`embed_to` wrote."""
    if path.suffix.lower() == ".npy":
        ids = path.with_suffix(".ids.txt").read_text(encoding="utf-8").splitlines()
        return ids, read_array(path)
    frame = pl.read_parquet(path)
    return frame["id"].to_list(), frame["embedding"].to_numpy()
