"""K-means of an embedding, the number of clusters known or not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import silhouette_score

from nearfar_dna.composition import Floats, unit_rows

__all__ = ["k_means"]

SAMPLE = 2000  # rows that a silhouette is measured on
TRIES = 10


def k_means(rows: Floats, clusters: int | None = None, seed: int = 0) -> NDArray[np.int64]:
    """Numbers of clusters [N], fewer where there are fewer rows.

    Args:
        rows: [N, D]. clusters: None: of ten numbers up to the square root of N those with the best
            silhouette on up to 2,000 rows.
    """
    unit = unit_rows(rows)
    n = len(unit)

    def fitted(k: int) -> NDArray[np.int64]:
        model = MiniBatchKMeans(k, n_init=5, batch_size=2048, random_state=seed)
        labels: NDArray[np.int64] = model.fit_predict(unit).astype(np.int64)
        return labels

    if clusters is not None:
        return fitted(min(clusters, n))
    if n < 4:
        return np.zeros(n, np.int64)
    tries = np.unique(np.geomspace(2, max(3, min(n // 2, 2 * n**0.5)), TRIES).astype(int))
    sample = np.random.default_rng(seed).permutation(n)[:SAMPLE]
    best, found = -2.0, np.zeros(n, np.int64)
    for k in tries.tolist():
        labels = fitted(k)
        if len(np.unique(labels[sample])) < 2 or len(np.unique(labels[sample])) >= len(sample):
            continue
        score = float(silhouette_score(unit[sample], labels[sample]))
        if score > best:
            best, found = score, labels
    return found
