"""The pictures of a har report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.manifold import TSNE

from nearfar_har.evaluate import confusion, with_activities_of
from nearfar_har.model import HarModel
from nearfar_har.selection import device_distances
from nearfar_har.windows import Windows
from nearfar_kit import plots

__all__ = ["confusion_plot", "distance_plot", "embedding_plot", "mean_distances"]

POINTS = 1200  # of an embedding plot: more are slow to lay out and hide each other


def confusion_plot(model: HarModel, windows: Windows, path: Path, title: str) -> Path:
    counts = confusion(model, windows)
    return plots.confusion_matrix(path, counts, model.activities, title=title)


def embedding_plot(model: HarModel, windows: Windows, device: str, path: Path, title: str) -> Path:
    """t-SNE of one device's embeddings by the pre-trained encoder, coloured by activity."""
    windows = with_activities_of(model, windows)
    windows = windows.select(windows.activity >= 0)
    features, rows = model.embeddings(windows, device)
    pick = np.random.default_rng(0).permutation(len(rows))[:POINTS]
    features, activity = features[pick], windows.activity[rows[pick]]
    features = (features - features.mean(0)) / (features.std(0) + 1e-6)
    layout = TSNE(perplexity=min(30, max(2, len(pick) // 4)), random_state=0, max_iter=500)
    points = layout.fit_transform(features)
    return plots.scatter_by_class(path, points, activity, model.activities, title=title)


def mean_distances(model: HarModel, windows: Windows) -> np.ndarray:
    """Device selection's distances [devices, devices], the mean over subjects."""
    per_subject = []
    for subject in np.unique(windows.subject):
        own = windows.select(windows.subject == subject)
        rows = np.random.default_rng(0).permutation(len(own))[:256]
        distances = device_distances(
            model.scale.apply(own.signals[rows]), torch.from_numpy(own.present[rows]), most=256
        )
        per_subject.append(distances.where(~distances.isinf(), torch.nan).numpy())
    means: np.ndarray = np.nanmean(np.stack(per_subject), axis=0)
    return means


def distance_plot(model: HarModel, windows: Windows, path: Path, title: str) -> Path:
    return plots.heatmap(path, mean_distances(model, windows), windows.devices, title=title)
