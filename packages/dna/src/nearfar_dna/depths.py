"""Depths of contigs in samples: what ``bin --abundance`` reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearfar_dna.composition import Floats
from nearfar_dna.rows import is_number, read_rows
from nearfar_kit.errors import UserError

__all__ = ["read_depths"]

METABAT = ["contigname", "contiglen", "totalavgdepth"]
# Columns that lie beside depths in the tables of other tools, and are none.
_NO_DEPTH = re.compile(
    r"(^|[-_. ]|contig|seq)(len|length|size)($|[-_. ])|[-_. ]var(iance)?$|^totalavgdepth$|"
    r"^(startpos|endpos|numreads|covbases|meanbaseq|meanmapq)$",
    re.IGNORECASE,
)


def read_depths(path: Path, ids: Sequence[str], lengths: Sequence[int]) -> tuple[list[str], Floats]:
    """Names of the samples and depths [N, samples] of the contigs ``ids``.

    A TSV or CSV of id and a depth in each sample, with a header or without; or what MetaBAT's
    ``jgi_summarize_bam_contig_depths`` writes, of which the columns of depths alone are read, not
    lengths, totals and variances.

    Raises:
        UserError: the file cannot be read, an id has no row or two, a depth is no number >= 0, or a
            column is none of depths, by its name or because it holds the contigs' lengths.
    """
    rows = read_rows(path)
    header = _header(rows, ids)
    body = [(number, row) for number, row in rows if number != 1 or header is None]
    body = [(number, row) for number, row in body if not row[0].startswith("#")]
    if not body:
        raise UserError(
            f"{path}: holds no depth; expected rows of an id and a depth in each sample"
        )
    width = len(body[0][1])
    taken = list(range(1, width))
    if header is not None and [name.lower() for name in header[:3]] == METABAT:
        taken = [n for n in range(3, len(header)) if not header[n].lower().endswith("-var")]
        width = len(header)
    elif header is not None:
        for place, name in enumerate(header[1:], 2):
            if _NO_DEPTH.search(name):
                raise UserError(
                    f"{path}: column {place}, {name!r}, is no depth; expected an id and a depth in "
                    "each sample, or the columns of jgi_summarize_bam_contig_depths"
                )
    if not taken:
        raise UserError(f"{path}: has no column of depths; expected one or more after the id")
    samples = [f"column {n + 1}" if header is None else header[n] for n in taken]
    line_of: dict[str, tuple[int, list[str]]] = {}
    for number, row in body:
        if row[0] in line_of:
            raise UserError(f"{path}, row {number}: id {row[0]} occurs again; expected it once")
        line_of[row[0]] = number, row
    for name in ids:  # before memory is taken for what a header claims
        if name not in line_of:
            raise UserError(f"{path}: has no row for {name}")
        number, row = line_of[name]
        if len(row) != width:
            raise UserError(
                f"{path}, row {number}: {name} has {len(row)} columns; expected {width}"
            )
    depths = np.zeros((len(ids), len(taken)), np.float32)
    for place, name in enumerate(ids):
        number, row = line_of[name]
        depths[place] = [_depth(path, number, name, row[n]) for n in taken]
    for place, sample in enumerate(samples):
        if len(ids) > 1 and np.array_equal(depths[:, place], np.asarray(lengths, np.float32)):
            raise UserError(f"{path}: {sample} holds the lengths of the contigs; expected depths")
    return samples, depths


def _header(rows: list[tuple[int, list[str]]], ids: Sequence[str]) -> list[str] | None:
    """The first row where it is no contig's and has names; a mark of comment is taken off."""
    if not rows or rows[0][0] != 1 or rows[0][1][0] in ids:
        return None
    first = [rows[0][1][0].lstrip("# "), *rows[0][1][1:]]
    return None if all(is_number(field) for field in first[1:]) else first


def _depth(path: Path, number: int, name: str, text: str) -> float:
    value = float(text) if is_number(text) else np.nan
    if not 0 <= value < np.inf:
        raise UserError(f"{path}, row {number}: {name} has {text!r}; expected a depth, 0 or more")
    return value
