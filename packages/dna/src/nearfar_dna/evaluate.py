"""The paper's three protocols: clustering, few-shot classification, binning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    adjusted_rand_score,
    completeness_score,
    f1_score,
    homogeneity_score,
    normalized_mutual_info_score,
)
from sklearn.preprocessing import StandardScaler

from nearfar_dna.binning import UNBINNED, neighbour_threshold, species_bins
from nearfar_dna.composition import Floats, unit_rows

__all__ = [
    "LEVELS", "MEASURES", "SHOTS", "behind", "binned_as_published", "binned_species",
    "cluster_scores", "few_shot_f1", "labelled_threshold", "species_f1",
]  # fmt: skip

SHOTS = (1, 2, 5, 10, 20)
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
REPEATS = 3  # of K-means and of the draw of labelled sequences
TESTED = 80  # sequences of a species, at most
LEAST = 10  # sequences of a bin
AGREEMENTS = {
    "ari": adjusted_rand_score,
    "nmi": normalized_mutual_info_score,
    "homogeneity": homogeneity_score,
    "completeness": completeness_score,
}

MEASURES = (  # what the columns of an evaluation are, for its report
    "In all of them 1 is the best there is. ari, nmi, homogeneity and completeness compare K-means "
    "clusters, as many as there are species, with the species: an ari of 0 is chance; homogeneity "
    "is high where a cluster holds one species alone, completeness where a species lies in one "
    "cluster alone.",
    "f1@2: two labelled sequences of each species teach a classifier, which names the others; F1 "
    "joins how many of a species are found and how many of those named so are, and is averaged "
    "over species. binned>0.6: the share of species that have a bin of their own with an F1 above "
    "0.6; bins are made without labels, and sequences in no bin count as not found.",
)


def cluster_scores(rows: Floats, labels: NDArray[np.int64], seed: int) -> dict[str, float]:
    """K-means of unit rows with the true number of species: means of repeats.

    ARI, NMI, homogeneity (which the paper calls purity) and completeness.
    """
    found = [
        KMeans(
            len(np.unique(labels)), init="random", n_init=3, max_iter=1000,
            random_state=REPEATS * seed + repeat,
        ).fit_predict(unit_rows(rows))
        for repeat in range(REPEATS)
    ]  # fmt: skip
    return {
        name: float(np.mean([score(labels, one) for one in found]))
        for name, score in AGREEMENTS.items()
    }


# What scikit-learn says of one or two labels a species.
FEW = "The number of unique classes is greater than 50% of the number of samples"


def few_shot_f1(rows: Floats, labels: NDArray[np.int64], shots: int, seed: int) -> float:
    """Macro F1 of logistic regression on so many labelled sequences a species, mean of repeats.

    As the paper's, except that the scaler knows the labelled sequences alone, and none of them is
    tested.
    """
    found = []
    for repeat in range(REPEATS):
        rng = np.random.default_rng([seed, repeat])
        train: list[int] = []
        test: list[int] = []
        for species in np.unique(labels):
            own = rng.permutation(np.flatnonzero(labels == species))
            train.extend(own[:shots])
            test.extend(own[shots:][-TESTED:])
        scaler = StandardScaler().fit(rows[train])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", FEW, UserWarning)
            model = LogisticRegression(C=0.5, max_iter=3000)
            model.fit(scaler.transform(rows[train]), labels[train])
        predicted = model.predict(scaler.transform(rows[test]))
        found.append(f1_score(labels[test], predicted, average="macro"))
    return float(np.mean(found))


def species_f1(labels: NDArray[np.int64], bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """[species] the F1 of each with the bin that is matched to it; unbinned sequences count.

    Bins are matched to species, one to one, so that the sum of F1 is largest.
    """
    species = np.unique(labels)
    numbers = np.unique(bins[bins != UNBINNED])
    f1 = np.zeros((len(species), len(numbers)))
    for i, name in enumerate(species):
        for j, number in enumerate(numbers):
            both = int(((labels == name) & (bins == number)).sum())
            f1[i, j] = 2 * both / ((labels == name).sum() + (bins == number).sum())
    matched = np.zeros(len(species))
    left, right = linear_sum_assignment(-f1)
    matched[left] = f1[left, right]
    return matched


def binned_species(rows: Floats, labels: NDArray[np.int64]) -> dict[str, float]:
    """The share of species that the modified K-medoid bins at F1 above 0.5 to 0.9, without labels.

    The threshold comes from nearest neighbours, and what is not binned counts as not found.
    """
    unit = unit_rows(rows)
    found = species_f1(labels, species_bins(unit, neighbour_threshold(unit), least=LEAST))
    return {f"binned>{level}": float((found > level).mean()) for level in LEVELS}


def binned_as_published(
    rows: Floats, labels: NDArray[np.int64], known: Floats, known_labels: NDArray[np.int64]
) -> dict[str, float]:
    """As :func:`binned_species`, with what the paper's protocol has otherwise.

    The threshold is that of labelled sequences ``known``, a medoid is a mean that is not made a
    unit row again, and only what is binned is scored.
    """
    bins = species_bins(
        unit_rows(rows), labelled_threshold(known, known_labels), least=LEAST, unit_medoids=False
    )
    some = bins != UNBINNED
    found = np.zeros(len(np.unique(labels)))
    if some.any():
        inside = np.isin(np.unique(labels), labels[some])
        found[inside] = species_f1(labels[some], bins[some])
    return {f"published>{level}": float((found > level).mean()) for level in LEVELS}


def labelled_threshold(rows: Floats, labels: NDArray[np.int64], quantile: float = 0.7) -> float:
    """The paper's: a quantile of the products of unit rows with the mean of their own species'."""
    unit = unit_rows(rows)
    near = np.zeros(len(unit))
    for species in np.unique(labels):
        own = labels == species
        near[own] = unit[own] @ unit[own].mean(0)
    return float(np.quantile(near, quantile))


def behind(own: Mapping[str, float], theirs: Mapping[str, float], name: str) -> str:
    """In which measures a trained model is below what it is compared with; nothing where in none.

    Example:
        >>> behind({"ari": 0.8, "f1@1": 0.7}, {"ari": 0.9, "f1@1": 0.6}, "TNF")
        'the trained model is below TNF in 1 of 2 measures: ari'
    """
    below = [key for key, value in own.items() if round(value, 3) < round(theirs[key], 3)]
    if not below:
        return ""
    which = "all" if len(below) == len(own) else f"{len(below)} of"
    return f"the trained model is below {name} in {which} {len(own)} measures: {', '.join(below)}"
