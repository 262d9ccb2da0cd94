"""What is known of items beside who took them: categories, brands, words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from nearfar_kit.errors import UserError
from nearfar_kit.frames import as_text, read_frame
from nearfar_kit.json_files import read_json
from nearfar_seqrec.sequences import Ints

__all__ = ["ItemFeatures", "features_of", "read_features"]

Rows = Iterable[tuple[str, str]]  # the name of an item, that of a feature it has


@dataclass(frozen=True)
class ItemFeatures:
    """Which item has which feature.

    Attributes:
        names: [F], in alphabetical order.
        feature: [n] numbers of features, from 0, the items' in order.
        start: [I + 2], item number i has ``feature[start[i]:start[i + 1]]``; padding's 0 has none.
    """

    names: tuple[str, ...]
    feature: Ints
    start: Ints


def features_of(rows: Rows, items: Collection[str]) -> ItemFeatures:
    """Features of the items named, each once; what is told of others is left out.

    Example:
        >>> found = features_of([("tea", "drink"), ("salt", "food"), ("oil", "food")], ["salt"])
        >>> found.names, found.start
        (('food',), array([0, 0, 1]))
    """
    number = {str(name): n for n, name in enumerate(items, 1)}
    pairs = {(number[item], feature) for item, feature in rows if item in number}
    names = sorted({feature for _, feature in pairs})
    place = {feature: n for n, feature in enumerate(names)}
    found = np.array(sorted((i, place[f]) for i, f in pairs), dtype=np.int64).reshape(-1, 2)
    count = np.bincount(found[:, 0], minlength=len(items) + 1)
    start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return ItemFeatures(tuple(names), found[:, 1].copy(), start)


def read_features(path: Path, items: Collection[str], fields: Collection[str] = ()) -> ItemFeatures:
    """Features of the items named, from a file.

    RecBole's ``NAME.item`` (fields of type token and token_seq), a .csv, .tsv or .parquet with a
    column ``item`` and others, of a category or, in Parquet, of lists, or a .json of lists by item.
    A feature is called by its field and value.

    Args:
        fields: those that are taken; none: all.

    Raises:
        UserError: the file is at fault, a field is missing, no item of ``items`` is in it.
    """
    readers = {".item": _atomic, ".json": _json, ".csv": _table, ".tsv": _table, ".parquet": _table}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise UserError(f"features {path}: expected a file that ends in {', '.join(readers)}")
    found = features_of(read(path, fields), items)
    if not len(found.feature):
        raise UserError(
            f"features {path}: tells nothing of any of the {len(items)} items; expected their "
            "names and features"
        )
    return found


def _json(path: Path, fields: Collection[str]) -> Iterator[tuple[str, str]]:
    if fields:
        raise UserError(f"features {path}: has no fields; expected no feature_fields")
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"features {path}: holds no lists by item")
    for item, features in content.items():
        if not isinstance(features, list):
            raise UserError(f"features {path}: item {item!r} has {features!r}; expected a list")
        for feature in features:
            yield item, str(feature)


def _atomic(path: Path, fields: Collection[str]) -> Iterator[tuple[str, str]]:
    frame = read_frame(path, separator="\t", quote=None)
    kinds = dict(name.rpartition(":")[::2] for name in frame.columns)
    wrong = [n for n in fields if kinds.get(n, "token") not in ("token", "token_seq")]
    if wrong:
        raise UserError(
            f"features {path}: {wrong[0]} is of type {kinds[wrong[0]]!r}; expected token or "
            "token_seq"
        )
    taken = [c for c in frame.columns if c.rpartition(":")[2] in ("token", "token_seq")]
    frame = frame.select(
        pl.col(c).str.split(" ") if c.endswith(":token_seq") else pl.col(c) for c in taken
    ).rename({c: c.rpartition(":")[0] for c in taken})
    return _rows(path, frame, "item_id", fields)


def _table(path: Path, fields: Collection[str]) -> Iterator[tuple[str, str]]:
    return _rows(path, read_frame(path), "item", fields)


def _rows(
    path: Path, frame: pl.DataFrame, item: str, fields: Collection[str]
) -> Iterator[tuple[str, str]]:
    for name in (item, *fields):
        if name not in frame.columns:
            raise UserError(
                f"features {path}: has no column {name}; found {', '.join(frame.columns)}"
            )
    items = as_text(frame, path, item)[item].alias("item of")
    for name in fields or [c for c in frame.columns if c != item]:
        column = frame.select(items, name)
        if isinstance(column.schema[name], pl.List):
            column = column.explode(name)
        for which, value in as_text(column, path, "item of", name).drop_nulls().iter_rows():
            if value.strip():
                yield which, f"{name}={value}"
