"""Linear probe and random forest: the two classifiers that need no network of their own."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from nearfar_har.encoder import Encoder

__all__ = ["embed", "linear_probe", "random_forest"]


@torch.inference_mode()
def embed(encoder: Encoder, signals: Tensor, batch: int = 4096) -> np.ndarray:
    """Scaled windows [n, 6, W] -> [n, features], the encoder frozen."""
    encoder.eval()
    return torch.cat([encoder(part) for part in signals.split(batch)]).numpy()


def linear_probe(features: np.ndarray, activity: np.ndarray, strength: float = 1.0) -> Pipeline:
    """Logistic regression on standardised features; ``strength`` is scikit-learn's C."""
    # A loose tolerance and no warning: predictions settle long before the likelihood does.
    regression = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), regression).fit(features, activity)


def random_forest(features: np.ndarray, activity: np.ndarray, seed: int) -> RandomForestClassifier:
    """Sixty trees on window statistics."""
    return RandomForestClassifier(60, random_state=seed).fit(features, activity)
