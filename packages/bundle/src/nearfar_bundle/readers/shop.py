"""A retailer's own folder: ``items``, ``bundles``, ``feedback`` as CSV or Parquet, and vectors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from nearfar_bundle.catalogue import Catalogue, Floats, catalogue_of
from nearfar_bundle.readers.files import read_vectors, text_columns
from nearfar_kit.errors import UserError
from nearfar_kit.frames import as_text, read_frame
from nearfar_kit.layouts import set_name

__all__ = ["Described", "described", "read_shop", "table_of"]

ENDINGS = (".csv", ".parquet", ".tsv")
VECTORS = (".npy", ".pt", ".vectors.parquet")
MOST_NAMED = 12  # files or columns of a note
APART = "|"  # between the labels of one item


def read_shop(
    path: Path, text: str = "title", label: str = "category", price: str = "price"
) -> Catalogue:
    """``items.csv`` (item, title, category, price), ``bundles.csv`` (bundle, item),
    ``feedback.csv`` (user, item), ``NAME.npy``, ``.pt`` or ``.vectors.parquet`` with a row an item.

    Everything but bundles may be missing; ``bundles`` may have a column ``session``. Several labels
    of an item stand apart by ``|``. Names and endings of files are taken in any case. What was
    read, and what was not, is in the notes.

    Args:
        text, label, price: columns of ``items``, the first two several, parted by commas.

    Raises:
        UserError: a table or column is missing, an id is empty, an item comes twice, a bundle holds
            what is not in the catalogue, vectors are of another number or hold some NaN.
    """
    bundles_file = table_of(path, "bundles")
    if bundles_file is None:
        raise UserError(f"{path}: holds no bundles.csv, .tsv or .parquet")
    frame = read_frame(bundles_file)
    columns = ["bundle", "item"] + ["session"] * ("session" in frame.columns)
    rows = text_columns(frame, bundles_file, *columns)
    read = {bundles_file: _columns(frame.columns, columns)}
    empty = rows["item"].is_null() | (rows["item"] == "")
    if empty.any():
        row = int(empty.arg_true()[0]) + 1
        raise UserError(
            f"{bundles_file}, row {row}: item is empty, of bundle {rows['bundle'][row - 1]}; "
            "expected an id, or no row"
        )
    items_file = table_of(path, "items")
    known = described(path, items_file, text, label, price) if items_file is not None else None
    feedback_file = table_of(path, "feedback")
    feedback: list[tuple[str, str]] = []
    if feedback_file is not None:
        frame = read_frame(feedback_file)
        own = text_columns(frame, feedback_file, "user", "item")
        read[feedback_file] = _columns(frame.columns, ["user", "item"])
        feedback = [(user, item or "") for user, item in own.iter_rows()]
    membership = list(rows.select("bundle", "item").iter_rows())
    if known is not None and items_file is not None:
        _check_known(bundles_file, "bundle", membership, known.items, items_file)
        if feedback_file is not None:
            _check_known(feedback_file, "user", feedback, known.items, items_file)
    repeated = len(membership) - len(set(membership))
    found = catalogue_of(
        set_name(path), membership, items=known.items if known else None, feedback=feedback
    )
    notes = [_what_was_read(path, read | (known.read if known else {}))]
    if known is None:
        notes.append(
            f"{path}: no items table (items.csv, .tsv or .parquet), so no title, category or price "
            "is known of any item"
        )
    notes += [f"{bundles_file}: {repeated} rows repeat another and count once"] * (repeated > 0)
    sessions = None
    if "session" in columns:
        of = dict(rows.select("bundle", "session").iter_rows())
        names = [of[str(bundle)] or f"\0{bundle}" for bundle in found.bundle_names]
        sessions = np.unique(names, return_inverse=True)[1].astype(np.int64)
    notes += known.notes if known else ()
    found = replace(found, sessions=sessions, notes=tuple(notes))
    if known is None:
        return found
    return replace(
        found, texts=known.texts, labels=known.labels, vectors=known.vectors, prices=known.prices
    )


def _check_known(
    file: Path, what: str, pairs: list[tuple[str, str]], items: list[str], items_file: Path
) -> None:
    """Refuses rows whose item is not described, by number."""
    known = set(items)
    for row, (holder, item) in enumerate(pairs, 1):
        if item not in known:
            raise UserError(
                f"{file}, row {row}: {what} {holder} has item {item!r}, which is not among the "
                f"{len(items)} of {items_file.name}"
            )


class Described:
    """Items with what is known of them: names, texts, labels, vectors, prices [n] or None.

    Columns that were looked for and not found are in notes; in read is, by file, which were read.
    """

    def __init__(self, items: list[str]) -> None:
        self.items = items
        self.texts: dict[str, list[str]] = {}
        self.labels: dict[str, list[tuple[str, ...]]] = {}
        self.vectors: dict[str, Floats] = {}
        self.prices: np.ndarray | None = None
        self.notes: tuple[str, ...] = ()
        self.read: dict[Path, str] = {}


def described(folder: Path, file: Path, text: str, label: str, price: str) -> Described:
    """A table of items and the files of vectors beside it."""
    frame = read_frame(file)
    names = text_columns(frame, file, "item")["item"].to_list()
    twice = [(name, n) for name, n in Counter(names).items() if n > 1]
    if twice:
        name, times = twice[0]
        first = names.index(name)
        rows = f"{first + 1} and {names.index(name, first + 1) + 1}"
        raise UserError(f"{file}, rows {rows}: item {name!r} comes {times} times; expected once")
    found = Described(names)
    others = [*label.split(","), price]
    found.notes = _not_found(file, frame.columns, text.split(","), others)
    found.read[file] = _columns(frame.columns, ["item", *text.split(","), *others])
    for name in text.split(","):
        if name in frame.columns:
            found.texts[name] = as_text(frame, file, name)[name].fill_null("").to_list()
    for name in label.split(","):
        if name in frame.columns:
            found.labels[name] = [
                tuple(part.strip() for part in own.split(APART) if part.strip())
                for own in as_text(frame, file, name)[name].fill_null("").to_list()
            ]
    if price in frame.columns:
        numeric = frame[price].dtype.is_numeric()
        found.prices = _prices(file, (frame if numeric else as_text(frame, file, price))[price])
    for vectors in sorted(folder.iterdir()):
        if vectors.name.lower().endswith(VECTORS):
            own = read_vectors(vectors)
            if len(own) != len(names):
                raise UserError(
                    f"{vectors}: has {len(own)} rows; expected {len(names)}, one an item of "
                    f"{file.name}"
                )
            found.vectors[vectors.name.split(".")[0]] = own
            found.read[vectors] = ""
    return found


def _not_found(
    file: Path, columns: list[str], texts: list[str], others: list[str]
) -> tuple[str, ...]:
    """A note where there is no text, or where a column may be one of ours by another name."""
    wanted = [name for name in (*texts, *others) if name]
    missing = [name for name in wanted if name not in columns]
    unread = [name for name in columns if name not in ("item", *wanted)]
    textless = any(texts) and not any(name in columns for name in texts)
    if not textless and not (missing and unread):
        return ()
    return (
        f"{file}: no column {', '.join(missing)}"
        f"{'; rename one of ' + _some(unread) + ' if it is meant' if unread else ''}"
        f"{'; no text is known of any item' if textless else ''}",
    )


def _columns(found: list[str], wanted: list[str]) -> str:
    """Which columns of a table are read, and which are not."""
    own = [name for name in found if name in wanted]
    rest = [name for name in found if name not in wanted]
    return f" ({', '.join(own)}{'; not read: ' + _some(rest) if rest else ''})"


def _what_was_read(folder: Path, read: dict[Path, str]) -> str:
    """A note of the tables and vectors that were read, and of those beside them that were not."""
    aside = [
        file.name
        for file in sorted(folder.iterdir())
        if file not in read and file.name.lower().endswith((*ENDINGS, *VECTORS))
    ]
    told = ", ".join(f"{file.name}{columns}" for file, columns in read.items())
    return f"{folder}: read {told}{'; files not read: ' + _some(aside) if aside else ''}"


def _some(names: list[str]) -> str:
    return ", ".join([*names[:MOST_NAMED], *["..."] * (len(names) > MOST_NAMED)])


def table_of(path: Path, name: str) -> Path | None:
    """The file ``name`` with one of the endings, in any case, or None."""
    # In lower case they are sorted last, so that they are taken where there are both.
    found = {file.name.lower(): file for file in sorted(path.iterdir())} if path.is_dir() else {}
    return next((found[f"{name}{end}"] for end in ENDINGS if f"{name}{end}" in found), None)


def _prices(file: Path, column: pl.Series) -> np.ndarray:
    numbers = column.cast(pl.Float64, strict=False)
    wrong = numbers.is_null() & column.is_not_null() & (column.cast(pl.String) != "")
    wrong = wrong | (numbers < 0).fill_null(False)
    if wrong.any():
        row = int(wrong.arg_true()[0]) + 1
        raise UserError(
            f"{file}, row {row}: {column.name} is {column[row - 1]!r}; expected a number, 0 or more"
        )
    return numbers.fill_null(float("nan")).to_numpy()
