"""Folders of tab-separated pairs of numbers: Youshu and MealRec+."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearfar_bundle.catalogue import Catalogue, Ints, incidence
from nearfar_bundle.readers.files import id_pairs
from nearfar_kit.errors import UserError
from nearfar_kit.layouts import set_name

__all__ = ["read_mealrec", "read_youshu"]


def read_youshu(path: Path) -> Catalogue:
    """Chen et al. 2019 (DAM, IJCAI): books in lists, readers; ids alone."""
    return _catalogue(
        path, path / "bundle_item.txt", path / "user_item.txt",
        [path / f"user_bundle_{part}.txt" for part in ("train", "tune", "test")],
    )  # fmt: skip


def read_mealrec(path: Path) -> Catalogue:
    """Li et al. 2024 (SIGIR): meals of courses, each with a category."""
    category = id_pairs(path / "course_category.txt")
    return _catalogue(
        path, path / "meal_course.txt", path / "user_course.txt",
        [path / f"user_meal_{part}.txt" for part in ("train", "tune", "test")], category,
    )  # fmt: skip


def _catalogue(
    path: Path, membership: Path, feedback: Path, owners: list[Path], category: Ints | None = None
) -> Catalogue:
    pairs, taken = id_pairs(membership), id_pairs(feedback)
    owned = [id_pairs(file) for file in owners if file.exists()]
    if not len(pairs):
        raise UserError(f"{membership}: is empty; expected two numbers a line")
    labelled = np.empty((0, 2), np.int64) if category is None else category
    items = 1 + int(np.concatenate([pairs[:, 1], taken[:, 1], labelled[:, 0]]).max())
    labels = {}
    if category is not None:
        of: list[tuple[str, ...]] = [()] * items
        for item, label in category.tolist():
            of[item] = (str(label),)
        labels["category"] = of
    bundles = 1 + int(pairs[:, 0].max())
    return Catalogue(
        set_name(path),
        np.arange(items).astype(np.str_),
        incidence(pairs, bundles, items),
        np.arange(bundles).astype(np.str_),
        labels=labels,
        feedback=np.unique(taken, axis=0),
        owners=np.unique(np.concatenate(owned), axis=0) if owned else np.empty((0, 2), np.int64),
    )
