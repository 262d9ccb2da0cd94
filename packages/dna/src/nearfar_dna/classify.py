"""Species from a handful of labelled sequences each, with a probability and "unknown"."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from nearfar_dna.composition import Floats, unit_rows
from nearfar_dna.evaluate import FEW
from nearfar_dna.labels import read_labels
from nearfar_dna.model import DnaModel
from nearfar_dna.readers import read_sequences
from nearfar_kit.errors import UserError

__all__ = ["UNKNOWN_SPECIES", "classify", "labelled_rows"]

UNKNOWN_SPECIES = "unknown"
SHARPNESS = 10.0  # of prototypes' softmax over cosines


def labelled_rows(
    model: DnaModel, path: Path, labels: Path | None, min_length: int
) -> tuple[Floats, list[str], tuple[str, ...]]:
    """Rows and species of labelled sequences, and notes on what was taken for granted.

    Species are from ``labels``, or the whole of the header after the id. A note says where each
    sequence is a species of its own by its header, as those of assemblers would have it.

    Raises:
        UserError: a sequence has no species, or none is left.
    """
    known = None if labels is None else read_labels(labels)
    codes, names = [], []
    for sequence in read_sequences(path, min_length=min_length):
        if known is None:
            if not sequence.description:
                raise UserError(
                    f"{path}: record {sequence.id} has no species after its id; expected one, or "
                    "--labels"
                )
            names.append(sequence.description)
        elif sequence.id in known:
            names.append(known[sequence.id][0])
        else:
            raise UserError(f"{labels}: has no row for {sequence.id} of {path}")
        codes.append(sequence.codes)
    if len(set(names)) < 2:
        raise UserError(
            f"{path}: {len(set(names))} species with a sequence of {min_length} bp (--min-length); "
            "expected two"
        )
    notes: tuple[str, ...] = ()
    if known is None and len(set(names)) == len(names):
        notes = (
            f"{path}: each sequence is a species of its own, by its header after the id; the first "
            f"is {names[0]!r}; expected '>id SPECIES', or a --labels TSV of id and species",
        )
    return model.embed(codes), names, notes


def classify(
    known: Floats, names: Sequence[str], rows: Floats, method: str, unknown: float = 0.5
) -> pl.DataFrame:
    """Columns ``species``, ``probability`` and ``nearest`` (the species even where unknown).

    Args:
        known: [S, D] labelled rows. names: of their species. rows: [N, D].
        method: ``prototypes``: softmax over cosines with each species' mean; ``probe``: logistic
            regression. unknown: a smaller probability is of an unknown species.
    """
    species = sorted(set(names))
    number = np.array([species.index(name) for name in names])
    if method == "prototypes":
        means = np.stack([known[number == n].mean(0) for n in range(len(species))])
        scores = SHARPNESS * unit_rows(rows) @ unit_rows(means).T
        scores = np.exp(scores - scores.max(1, keepdims=True))
        probability = scores / scores.sum(1, keepdims=True)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", FEW, UserWarning)
            probe = LogisticRegression(C=10.0, max_iter=3000).fit(known, number)
        probability = probe.predict_proba(rows)
    best = probability.argmax(1)
    sure = probability.max(1)
    nearest = [species[n] for n in best]
    told = [
        name if p >= unknown else UNKNOWN_SPECIES for name, p in zip(nearest, sure, strict=True)
    ]
    return pl.DataFrame({"species": told, "probability": sure.round(4), "nearest": nearest})
