"""The field's scores."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score

__all__ = ["macro_f1"]


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the activities that occur in ``truth``, each counting alike.

    An activity that is only predicted lowers the F1 of the ones it was taken from; it has no F1 of
    its own.
    """
    return float(
        f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0)
    )
