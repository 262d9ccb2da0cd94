"""Scores of masks: Dice and the 95th percentile of Hausdorff's distance, a case and a class.

A class absent from both masks has no score (NaN) and does not count in a mean. Absent from one of
them its Dice is 0 and its distance infinite; means of distances are over the finite ones, and say
of how many.
"""

from __future__ import annotations

import csv
import io
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance
from numpy.typing import NDArray

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.spreadsheet import harmless
from nearfar_kit.table import Cell, summarise

__all__ = ["Score", "mean_scores", "score_case", "write_scores"]


@dataclass(frozen=True)
class Score:
    """Of one class in one case.

    Attributes:
        dice: 0 to 1, or NaN.
        hd95: mm, infinite, or NaN.
        value: the class's code in masks.
        true_voxels, found_voxels: of the class in the truth, and in the mask that is scored.
    """

    case: str
    subject: str
    value: int
    structure: str
    dice: float
    hd95: float
    true_voxels: int
    found_voxels: int


def score_case(
    case: str,
    subject: str,
    found: NDArray[np.integer],
    truth: NDArray[np.integer],
    spacing: Sequence[float],
    classes: Mapping[int, str],
) -> list[Score]:
    """Scores of all classes but the background.

    Args:
        found, truth: masks [X, Y, Z] of codes on one grid.
        spacing: mm between voxels along X, Y, Z.

    Example:
        >>> truth = np.zeros((4, 4, 4), dtype=np.uint8)
        >>> truth[:2] = 1
        >>> (score,) = score_case("a", "a", truth[::-1], truth, (2, 1, 1), {0: "", 1: "cord"})
        >>> score.structure, score.dice, score.hd95
        ('cord', 0.0, 4.0)
    """
    if found.shape != truth.shape:
        raise ValueError(f"masks are {found.shape} and {truth.shape}; expected one shape")
    rows = []
    for value, structure in sorted(classes.items()):
        if value == 0:
            continue
        a, b = found == value, truth == value
        in_a, in_b = int(a.sum()), int(b.sum())
        dice, hd95 = _scored(a, b, spacing) if in_a or in_b else (math.nan, math.nan)
        rows.append(Score(case, subject, value, structure, dice, hd95, in_b, in_a))
    return rows


def _scored(
    a: NDArray[np.bool_], b: NDArray[np.bool_], spacing: Sequence[float]
) -> tuple[float, float]:
    """Dice and distance of two masks, one of which has voxels."""
    if not (a.any() and b.any()):
        return 0.0, math.inf
    box = _box(a | b)
    # MONAI's own form is batch x classes x space; one class of one case is 1 x 1.
    x, y = (torch.from_numpy(np.ascontiguousarray(m[box]))[None, None].float() for m in (a, b))
    dice = float(compute_dice(x, y))
    with warnings.catch_warnings():  # MONAI 1.5 warns of an argument that it passes itself
        warnings.simplefilter("ignore", FutureWarning)
        hd95 = compute_hausdorff_distance(
            x, y, include_background=True, percentile=95, spacing=[float(mm) for mm in spacing]
        )
    return dice, float(hd95)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds all of a mask."""
    edges = []
    for axis in range(mask.ndim):
        others = tuple(n for n in range(mask.ndim) if n != axis)
        rows = np.flatnonzero(mask.any(axis=others))
        edges.append(slice(int(rows[0]), int(rows[-1]) + 1))
    return tuple(edges)


def mean_scores(rows: Iterable[Score]) -> dict[str, dict[str, Cell]]:
    """Of each structure, and of all: mean, spread and number, of ``dice`` and of ``hd95``.

    ``all`` is over cases, each the mean of its structures.
    """
    rows = list(rows)
    found: dict[str, dict[str, Cell]] = {}
    for structure in dict.fromkeys(row.structure for row in rows):
        mine = [row for row in rows if row.structure == structure]
        found[structure] = {
            "dice": summarise(row.dice for row in mine),
            "hd95": summarise(row.hd95 for row in mine),
        }
    by_case: dict[str, list[Score]] = {}
    for row in rows:
        by_case.setdefault(row.case, []).append(row)
    found["all"] = {
        "dice": summarise(summarise(r.dice for r in mine).mean for mine in by_case.values()),
        "hd95": summarise(summarise(r.hd95 for r in mine).mean for mine in by_case.values()),
    }
    return found


def write_scores(folder: Path, rows: Sequence[Score]) -> None:
    """Writes ``scores.csv``, a row a case and class, and ``scores.json`` with the means too.

    NaN is an empty cell, and null; infinity is ``inf`` in both.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error
    table = io.StringIO()
    writer = csv.DictWriter(table, list(Score.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        texts = {name: harmless(getattr(row, name)) for name in ("case", "subject", "structure")}
        writer.writerow(_plain(asdict(row)) | texts)
    write_atomic(folder / "scores.csv", table.getvalue())
    means = {
        structure: {metric: _plain(asdict(cell)) for metric, cell in cells.items()}
        for structure, cells in mean_scores(rows).items()
    }
    content = {
        "rule": "absent from both masks: no score; from one: dice 0, hd95 inf; means of the finite",
        "units": {"hd95": "mm"},
        "means": means,
        "scores": [_plain(asdict(row)) for row in rows],
    }
    write_atomic(folder / "scores.json", json.dumps(content, indent=2, allow_nan=False) + "\n")


def _plain(row: dict[str, object]) -> dict[str, object]:
    """JSON has no word for NaN, nor for infinity."""
    return {
        name: None if isinstance(v, float) and math.isnan(v) else "inf" if v == math.inf else v
        for name, v in row.items()
    }
