"""Which pairs of rows are one thing: learnt from the rows themselves, decided without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_tables.calibration import fit_mixture, uncontested
from nearfar_tables.cells import Cells
from nearfar_tables.embeddings import embed_values
from nearfar_tables.pair_model import Design, PairModel, plain_similarity
from nearfar_tables.pretrain import PairTensors, pretrain
from nearfar_tables.settings import TablesSettings
from nearfar_tables.similarity import Similarity

__all__ = ["Scored", "learn", "match"]

Floats = NDArray[np.float64]
BACKGROUND = 100  # pairs that are known not to match, at least


@dataclass(frozen=True)
class Scored:
    """What matching says of P pairs.

    Attributes:
        pairs: [P, 2]. score: [P], log-odds. probability: [P], of being one thing, 0 where a row
        has a clearly better partner. match: [P].
    """

    pairs: NDArray[np.int64]
    score: Floats
    probability: Floats
    match: NDArray[np.bool_]


def match(
    frame: pl.DataFrame,
    pairs: NDArray[np.int64],
    *,
    source: NDArray[np.int64] | None = None,
    labels: NDArray[np.int64] | None = None,
    settings: TablesSettings | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> Scored:
    """Scores candidate pairs, the caller's own or those of blocking, and says which match.

    As :func:`learn`, without keeping what was learnt.
    """
    return learn(
        frame, pairs, source=source, labels=labels, settings=settings, seed=seed, quiet=quiet
    )[1]


def learn(
    frame: pl.DataFrame,
    pairs: NDArray[np.int64],
    *,
    source: NDArray[np.int64] | None = None,
    labels: NDArray[np.int64] | None = None,
    settings: TablesSettings | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> tuple[PairModel | None, Scored]:
    """What there is to learn of candidate pairs, and what it says of them.

    First a matcher learns from perturbed copies (SSACL). Then, in rounds, a logistic regression
    over its logit and all similarities learns from the pairs that stand out: likely ones that no
    better partner contests against the rest. A mixture of two normals over its scores draws the
    line (see :mod:`nearfar_tables.calibration`). ``calibration=mixture`` draws it over the
    matcher's own logits, ``fixed`` is the paper's 0.5.

    Args:
        frame: N rows, aligned. pairs: [P, 2] of them.
        source: [N] the table of each row; None: all of one, so that partners are not contested.
        labels: [P] 1, 0, or -1 for unknown; None: all unknown. Known ones are learnt from as they
            are and answered so.

    Returns:
        The model (None without a pair), and the pairs' scores.

    Raises:
        UserError: a pair names no row, or there is no column.
    """
    settings = settings or load_settings(TablesSettings)
    pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= frame.height):
        raise UserError(
            f"pairs name rows {pairs.min()} to {pairs.max()}; expected 0 to {frame.height - 1}"
        )
    if not frame.width:
        raise UserError("the table has no column; expected one or more to compare")
    if not len(pairs):
        return None, Scored(pairs, np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool))
    source = np.zeros(frame.height, dtype=np.int64) if source is None else source
    known = np.full(len(pairs), -1) if labels is None else np.asarray(labels)
    asked = len(pairs)
    pairs, known = _with_background(pairs, known, source, np.random.default_rng(seed))
    cells = Cells.of(frame)
    similarity = Similarity(cells)
    features = similarity.features(cells, pairs)
    plain = plain_similarity(features)
    model = PairModel(
        tuple(frame.columns), settings, similarity, Design.of(features), _scale(plain)
    )
    wide = model.design.columns(features)
    score = _standard(plain, model.plain_scale)
    if settings.epochs:
        model.matcher = pretrain(cells, pairs, settings, seed, quiet=quiet)
        embedded = embed_values(cells, settings.embedding)
        logits = PairTensors.of(cells, embedded, pairs, features).logits(model.matcher)
        model.logit_scale = _scale(logits)
        wide = np.column_stack([wide, _standard(logits, model.logit_scale)])
        score = score if settings.calibration == "adapted" else logits
    if settings.calibration == "adapted":
        score, probability = _adapt(model, score, wide, pairs, source, known)
    elif settings.calibration == "mixture":
        open_ = uncontested(pairs, score, source, 0.0) & (known != 0)
        probability = _part(model, score, open_)
    else:
        probability = expit(score)
    probability = np.where(known >= 0, known, probability)[:asked]
    match = probability > settings.threshold
    return model, Scored(pairs[:asked], score[:asked], probability, match)


def _with_background(
    pairs: NDArray[np.int64],
    known: NDArray[np.int64],
    source: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where few rows contest each other, pairs at random that are no candidates, known to differ.

    Good blocking may leave matches alone: a mixture would then part them from each other.
    """
    rows = rng.integers(len(source), size=(8 * BACKGROUND, 2))
    rows = rows[rows[:, 0] != rows[:, 1]]
    if source.any():
        rows = rows[source[rows[:, 0]] != source[rows[:, 1]]]
    rows.sort(axis=1)
    number = rows @ np.array([len(source), 1])
    taken = np.sort(pairs, axis=1) @ np.array([len(source), 1])
    _, first = np.unique(number, return_index=True)
    free = first[~np.isin(number[first], taken)]
    contested = int((~uncontested(pairs, rng.random(len(pairs)), source, 0.0)).sum())
    more = rows[np.sort(free)[: max(BACKGROUND - contested, 0)]]
    return np.concatenate([pairs, more]), np.concatenate([known, np.zeros(len(more), np.int64)])


def _adapt(
    model: PairModel,
    score: Floats,
    wide: Floats,
    pairs: NDArray[np.int64],
    source: NDArray[np.int64],
    known: NDArray[np.int64],
) -> tuple[Floats, Floats]:
    settings = model.settings
    margin = 0.0  # of raw similarities none is a tie worth keeping

    def probability() -> Floats:
        open_ = uncontested(pairs, score, source, margin) & (known != 0)
        return _part(model, score, open_)

    found = probability()
    for _ in range(settings.rounds):
        label = np.where(known >= 0, known == 1, found > settings.threshold)
        if label.all() or not label.any():
            break
        fitted = LogisticRegression(C=settings.strength, max_iter=1000).fit(wide, label)
        model.weights = np.append(fitted.coef_[0], fitted.intercept_)
        score, margin = fitted.decision_function(wide), settings.margin
        found = probability()
    return score, found


def _part(model: PairModel, score: Floats, open_: NDArray[np.bool_]) -> Floats:
    """Posteriors of a mixture, which the model keeps; 0 for pairs that cannot match."""
    model.mixture = fit_mixture(score, open_)
    return np.where(open_, model.probability(score), 0.0)


def _scale(x: Floats) -> tuple[float, float]:
    return float(x.mean()), float(x.std() + 1e-6)


def _standard(x: Floats, scale: tuple[float, float]) -> Floats:
    mean, spread = scale
    return (x - mean) / spread
