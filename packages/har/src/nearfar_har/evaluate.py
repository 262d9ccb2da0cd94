"""Evaluation of a trained model on labelled windows: macro F1 a device and of all together."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import confusion_matrix

from nearfar_har.metrics import activity_scores, macro_f1
from nearfar_har.model import HarModel
from nearfar_har.windows import Windows
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Record, split_key

__all__ = ["confusion", "evaluate", "with_activities_of"]


def with_activities_of(model: HarModel, windows: Windows) -> Windows:
    """The windows with activities numbered as the model numbers them.

    Raises:
        UserError: an activity that the model was never trained on occurs.
    """
    unknown = [
        name
        for number, name in enumerate(windows.activities)
        if name not in model.activities and (windows.activity == number).any()
    ]
    if unknown:
        raise UserError(
            f"activity {', '.join(unknown)}: not among those the model was trained on "
            f"({', '.join(model.activities)})"
        )
    numbers = [
        model.activities.index(n) if n in model.activities else -1 for n in windows.activities
    ]
    lookup = np.array([*numbers, -1])  # the last entry answers -1, unlabelled
    return windows.relabelled(lookup[windows.activity], model.activities)


def evaluate(
    model: HarModel, windows: Windows, dataset: str, method: str, seed: int
) -> list[Record]:
    """Macro F1 of each device alone and of all that are present together ("all"); of all together
    each activity's F1, precision and recall too.

    Raises:
        UserError: the windows are not of the model's kind, or none is labelled.
    """
    model.check(windows)
    windows = with_activities_of(model, windows)
    labelled = windows.select(windows.activity >= 0)
    if not len(labelled):
        raise UserError(f"{dataset}: no window is labelled; expected activities to compare with")
    records = []

    def add(metric: str, value: float, n: int, **split: str) -> None:
        records.append(Record(dataset, split_key(**split), method, seed, metric, value, n))

    for name in model.classifiers:
        if name in labelled.devices:
            predicted, rows = model.device_predictions(labelled, name)
            if len(rows):
                value = macro_f1(labelled.activity[rows], predicted)
                add("macro_f1", value, len(rows), device=name)
    probabilities, spoke = model.probabilities(labelled)
    heard = spoke > 0
    truth, predicted = labelled.activity[heard], probabilities[heard].argmax(1)
    add("macro_f1", macro_f1(truth, predicted), len(truth), device="all")
    for number, (n, own) in activity_scores(truth, predicted).items():
        for metric, value in own.items():
            add(metric, value, n, device="all", activity=model.activities[number])
    return records


def confusion(model: HarModel, windows: Windows) -> np.ndarray:
    """Counts [true, predicted] of all devices together."""
    windows = with_activities_of(model, windows)
    probabilities, spoke = model.probabilities(windows)
    rows = (spoke > 0) & (windows.activity >= 0)
    counts: np.ndarray = confusion_matrix(
        windows.activity[rows],
        probabilities[rows].argmax(1),
        labels=np.arange(len(model.activities)),
    )
    return counts
