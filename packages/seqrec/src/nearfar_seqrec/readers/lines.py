"""Plain text, one user a line: ``user item item ...``, the oldest item first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nearfar_kit.errors import UserError
from nearfar_kit.text_files import read_text
from nearfar_seqrec.sequences import Sequences, sequences_of

__all__ = ["lines_of", "read_lines"]


def read_lines(path: Path) -> Sequences:
    """Ids are separated by spaces, or, where a line has tabs, by tabs: they may hold spaces then.

    Raises:
        UserError: no UTF-8 text, a user without an item, a user twice, nothing at all.
    """
    seen: dict[str, int] = {}
    rows = []
    for number, (user, *items) in lines_of(path):
        if not items:
            raise UserError(
                f"{path}, line {number}: user {user!r} has no item; expected one or more"
            )
        if user in seen:
            raise UserError(
                f"{path}, line {number}: user {user!r} was on line {seen[user]}; expected one line "
                "a user"
            )
        seen[user] = number
        rows.append((user, items))
    if not rows:
        raise UserError(f"{path}: is empty; expected lines 'user item item ...'")
    return sequences_of(rows, path)


def lines_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not blank, from 1, and its ids."""
    text = read_text(path, "lines 'user item item ...'")
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if not line.strip():
            continue
        ids = line.split("\t") if "\t" in line else line.split(" ")
        ids = [i for i in ids if i] if "\t" not in line else ids
        if not all(i.strip() for i in ids):
            raise UserError(f"{path}, line {number}: an id is empty; expected ids between tabs")
        yield number, ids
