"""The field's scores."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score, precision_recall_fscore_support

__all__ = ["ACTIVITY_SCORES", "activity_scores", "macro_f1"]

ACTIVITY_SCORES = ("f1", "precision", "recall")


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the activities that occur in ``truth``, each counting alike.

    An activity that is only predicted lowers the F1 of the ones it was taken from; it has no F1 of
    its own.
    """
    return float(
        f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0)
    )


def activity_scores(
    truth: np.ndarray, predicted: np.ndarray
) -> dict[int, tuple[int, dict[str, float]]]:
    """For each activity that occurs in ``truth``: how often, and its :data:`ACTIVITY_SCORES`.

    Its precision is 0 where it is never predicted.
    """
    labels = np.unique(truth)
    precision, recall, f1, counts = precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=0
    )
    scores = zip(f1.tolist(), precision.tolist(), recall.tolist(), strict=True)
    return {
        label: (count, dict(zip(ACTIVITY_SCORES, own, strict=True)))
        for label, count, own in zip(labels.tolist(), counts.tolist(), scores, strict=True)
    }
