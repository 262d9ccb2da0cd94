"""What each space tells: linear probes of targets' attributes on frozen representations.

The protocol of SepCLR (Louiset et al. 2024): probes are fitted and tested on targets. Salient
attributes should be read from the salient space and not from the common one, common attributes the
other way about; ``delta_tot`` sums how far all cells are from that.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mean_absolute_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nearfar_kit.errors import UserError
from nearfar_medical.sepclr.encoders import TwoEncoders
from nearfar_medical.sepclr.pairs import Pairs

__all__ = [
    "Cell",
    "Metric",
    "Representations",
    "Space",
    "as_table",
    "check_attributes",
    "delta_tot",
    "probe",
    "probe_population",
    "probe_spaces",
    "represent",
]

Space = Literal["common", "salient"]
Metric = Literal["accuracy", "balanced_accuracy", "mae"]
Representations = Mapping[str, np.ndarray]  # "common" [N, D], "salient" [N, E]


@dataclass(frozen=True)
class Cell:
    """One attribute read from one space, beside what a perfect separation would give."""

    space: Space
    attribute: str
    metric: Metric
    value: float
    ideal: float
    rows: int  # tested

    @property
    def distance(self) -> float:
        return abs(self.value - self.ideal)


@torch.inference_mode()
def represent(
    encoders: TwoEncoders, pairs: Pairs, *, batch: int = 512, head: bool = False
) -> dict[str, np.ndarray]:
    """Both spaces of all images, the encoders frozen; ``head``: after the projectors."""
    device = next(encoders.parameters()).device
    was_training = encoders.training
    encoders.eval()
    parts = [encoders(x.to(device)) for x in torch.split(pairs.images, batch)]
    encoders.train(was_training)
    names = ("common_head", "salient_head") if head else ("common", "salient")
    return {
        space: torch.cat([getattr(part, name) for part in parts]).cpu().numpy()
        for space, name in zip(("common", "salient"), names, strict=True)
    }


def probe(
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    *,
    metric: Metric = "accuracy",
    standardize: bool = True,
) -> float:
    """Logistic regression of classes, or for ``mae`` linear regression of a measure.

    Args:
        train, test: [N, D] and [M, D].
        train_labels, test_labels: [N] and [M].
        standardize: columns to unit variance first. The paper has it not; but a representation's
            scale is of no meaning, and a small one would hide behind the penalty what it tells.

    Example:
        >>> x = np.array([[0.0], [0.1], [0.9], [1.0]])
        >>> probe(x, np.array(list("aabb")), x, np.array(list("aabb")))
        1.0
    """
    model: BaseEstimator = LinearRegression() if metric == "mae" else LogisticRegression()
    if standardize:
        model = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train, train_labels)
    return _score(metric, test_labels, model.predict(test))


def check_attributes(train: Pairs, test: Pairs, names: Sequence[str]) -> None:
    """What :func:`probe_spaces` needs, without the spaces.

    Raises:
        UserError: an attribute is unknown, has one class only or fewer than two targets.
    """
    for name in names:
        _, labels = _known(train, name)
        _known(test, name)
        if labels.dtype.kind != "f" and len(np.unique(labels)) < 2:
            raise UserError(f"attribute {name}: targets are all {labels[0]}; expected two classes")


def probe_spaces(
    train: Pairs,
    train_spaces: Representations,
    test: Pairs,
    test_spaces: Representations,
    *,
    salient: Sequence[str] = (),
    common: Sequence[str] = (),
    metric: Literal["accuracy", "balanced_accuracy"] = "balanced_accuracy",
    ceilings: Mapping[str, float] | None = None,
    standardize: bool = True,
) -> list[Cell]:
    """Every attribute from both spaces, on targets that have it; measures are scored by ``mae``.

    Args:
        salient, common: names of the pairs' attributes, by the space they belong in.
        ceilings: an attribute's ideal in its right space, as of a supervised network; else 1, or 0
            for ``mae``. The ideal in the wrong space is what the labels alone give: the most
            frequent class, or a measure's mean.

    Raises:
        UserError: an attribute is unknown, has one class only or fewer than two targets.
    """
    check_attributes(train, test, [*salient, *common])
    cells = []
    for name, right in [(n, "salient") for n in salient] + [(n, "common") for n in common]:
        fit, labels = _known(train, name)
        tested, truth = _known(test, name)
        measured = labels.dtype.kind == "f"
        how: Metric = "mae" if measured else metric
        spaces: tuple[Space, Space] = ("salient", "common")
        for space in spaces:
            value = probe(
                train_spaces[space][fit], labels, test_spaces[space][tested], truth,
                metric=how, standardize=standardize,
            )  # fmt: skip
            if space == right:
                ideal = (ceilings or {}).get(name, 0.0 if measured else 1.0)
            else:
                ideal = _chance(how, labels, truth)
            cells.append(Cell(space, name, how, value, ideal, len(truth)))
    return cells


def probe_population(
    train: Pairs,
    train_spaces: Representations,
    test: Pairs,
    test_spaces: Representations,
    *,
    metric: Literal["accuracy", "balanced_accuracy"] = "balanced_accuracy",
    standardize: bool = True,
) -> list[Cell]:
    """Background or target, of all images: the salient space should tell, the common one not.

    The paper reads it from heads on medical sets, ``represent(..., head=True)``.
    """
    labels, truth = train.is_target.numpy(), test.is_target.numpy()
    ideals: dict[Space, float] = {"salient": 1.0, "common": _chance(metric, labels, truth)}
    return [
        Cell(
            space, "is_target", metric,
            probe(
                train_spaces[space], labels, test_spaces[space], truth,
                metric=metric, standardize=standardize,
            ),
            ideal, len(truth),
        )
        for space, ideal in ideals.items()
    ]  # fmt: skip


def delta_tot(cells: Sequence[Cell]) -> float:
    """The sum of all distances between obtained and ideal; 0 is a perfect separation."""
    return sum(cell.distance for cell in cells)


def as_table(cells: Sequence[Cell]) -> str:
    """Markdown: each cell with its ideal and distance, then their sum."""
    lines = [
        "| space | attribute | metric | obtained | ideal | distance |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {c.space} | {c.attribute} | {c.metric} | {c.value:.3f} | {c.ideal:.3f} | "
        f"{c.distance:.3f} |"
        for c in cells
    ]
    lines.append(f"| delta_tot | | | | | {delta_tot(cells):.3f} |")
    return "\n".join(lines)


def _known(pairs: Pairs, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the targets that have the attribute, and its values."""
    if name not in pairs.attributes:
        known = ", ".join(pairs.attributes) or "none"
        raise UserError(f"attribute {name}: the images have no such column; known: {known}")
    values = pairs.attributes[name]
    has = np.isfinite(values) if values.dtype.kind == "f" else values != ""
    rows = np.flatnonzero(has & pairs.is_target.numpy())
    if len(rows) < 2:
        raise UserError(f"attribute {name}: {len(rows)} targets have it; expected two or more")
    return rows, values[rows]


def _chance(metric: Metric, labels: np.ndarray, truth: np.ndarray) -> float:
    """The score of the best guess that looks at no image."""
    if metric == "mae":
        return _score(metric, truth, np.full(len(truth), labels.mean()))
    classes, counts = np.unique(labels, return_counts=True)
    return _score(metric, truth, np.full(len(truth), classes[counts.argmax()]))


def _score(metric: Metric, truth: np.ndarray, predicted: np.ndarray) -> float:
    if metric == "mae":
        return float(mean_absolute_error(truth, predicted))
    if metric == "accuracy":
        return float(accuracy_score(truth, predicted))
    with warnings.catch_warnings():
        # A class of the fit that the test lacks is no mistake of the probe's.
        warnings.simplefilter("ignore", UserWarning)
        return float(balanced_accuracy_score(truth, predicted))
