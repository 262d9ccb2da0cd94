"""Data sets on disk to catalogues, a layout a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nearfar_bundle.catalogue import Catalogue
from nearfar_bundle.readers.bundlerec import read_bundlerec
from nearfar_bundle.readers.clhe import read_clhe
from nearfar_bundle.readers.id_pairs import read_mealrec, read_youshu
from nearfar_bundle.readers.shop import read_shop, table_of
from nearfar_kit.layouts import Layout, layout_of

__all__ = ["LAYOUTS", "read"]


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda path: all((path / name).exists() for name in names)


def _is_shop(path: Path) -> bool:
    return table_of(path, "bundles") is not None


LAYOUTS: dict[str, Layout[Catalogue]] = {
    "clhe": Layout("count.json and bi_train.txt", _has("count.json", "bi_train.txt"), read_clhe),
    "bundlerec": Layout("bundle_item.csv", _has("bundle_item.csv"), read_bundlerec),
    "youshu": Layout("bundle_item.txt", _has("bundle_item.txt", "user_item.txt"), read_youshu),
    "mealrec": Layout("meal_course.txt", _has("meal_course.txt"), read_mealrec),
    "shop": Layout("bundles.csv, .tsv or .parquet", _is_shop, read_shop),
}  # fmt: skip


def read(path: Path, layout: str | None = None, **options: str) -> Catalogue:
    """The catalogue at ``path``, its layout found by its look where it is not given.

    Raises:
        UserError: nothing is there, nothing fits, or the data is at fault.
    """
    return layout_of(LAYOUTS, path, layout, options).reader(path, **options)
