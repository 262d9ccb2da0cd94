"""Readers: a file or folder of interactions to sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nearfar_kit.layouts import Layout, layout_of
from nearfar_seqrec.readers.atomic import is_atomic, read_atomic
from nearfar_seqrec.readers.lines import read_lines
from nearfar_seqrec.readers.table import read_table
from nearfar_seqrec.sequences import Sequences

__all__ = ["LAYOUTS", "read"]

LAYOUTS = {
    "recbole": Layout("NAME.inter, or a folder NAME with NAME.inter", is_atomic, read_atomic),
    "table": Layout(
        "a .csv, .tsv or .parquet of user, item, time",
        lambda path: path.suffix.lower() in (".csv", ".tsv", ".parquet"),
        read_table,
    ),
    "lines": Layout(
        "a .txt of lines 'user item item ...'",
        lambda path: path.suffix.lower() == ".txt",
        read_lines,
    ),
}


def read(path: Path | str, layout: str | None = None, **options: Any) -> Sequences:
    """Sequences from a file or folder, by its look.

    Args:
        layout: one of ``LAYOUTS``; None: the first that fits.
        options: of the reader, as ``user="customer"`` for a table.

    Raises:
        UserError: nothing is there, nothing fits, or the data is at fault; file and row are named.
    """
    path = Path(path)
    found = layout_of(LAYOUTS, path, layout, options, expected="interactions")
    return found.reader(path, **options)
