"""Which pairs of rows are one thing: learnt from the rows themselves, decided without labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_tables.calibration import Cut, Mixture, fit_mixture, uncontested
from nearfar_tables.cells import Cells
from nearfar_tables.evidence import Evidence, gather
from nearfar_tables.pair_model import Design, PairModel, plain_similarity
from nearfar_tables.pretrain import pretrain
from nearfar_tables.settings import TablesSettings
from nearfar_tables.similarity import Similarity

__all__ = ["Scored", "learn", "match"]

Floats = NDArray[np.float64]
BACKGROUND = 100  # pairs that are known not to match, at least
SAMPLE = 200_000  # pairs that regression and mixture are fitted to, at most
FEW = 200  # pairs of a caller's own, below which a line between them may part like from like
HALF = (0.5, 0.05)  # plain similarity from which pairs match where no line is found; how sharp
ALONE = (0.7, 0.05)  # in one table alone, whose candidates are all somewhat alike
APART = 2.0  # of a mixture in one table alone; less is two halves of what does not match
LEARNT = "matcher.safetensors"
COLUMNS = 4096  # each takes a quarter of a MiB for its words' weights


@dataclass(frozen=True)
class Scored:
    """What matching says of P pairs.

    Attributes:
        pairs: [P, 2]. score: [P], log-odds. probability: [P], of being one thing, 0 where a row
        has a clearly better partner. match: [P].
        note: where it was not found from the pairs themselves what is a match; else empty.
    """

    pairs: NDArray[np.int64]
    score: Floats
    probability: Floats
    match: NDArray[np.bool_]
    note: str = ""


def match(
    frame: pl.DataFrame,
    pairs: NDArray[np.int64],
    *,
    source: NDArray[np.int64] | None = None,
    labels: NDArray[np.int64] | None = None,
    settings: TablesSettings | None = None,
    seed: int = 0,
    blocked: bool = False,
    quiet: bool = True,
) -> Scored:
    """Scores candidate pairs, the caller's own or those of blocking, and says which match.

    As :func:`learn`, without keeping what was learnt.
    """
    return learn(
        frame, pairs, source=source, labels=labels, settings=settings, seed=seed, blocked=blocked,
        quiet=quiet,
    )[1]  # fmt: skip


def learn(
    frame: pl.DataFrame,
    pairs: NDArray[np.int64],
    *,
    source: NDArray[np.int64] | None = None,
    labels: NDArray[np.int64] | None = None,
    settings: TablesSettings | None = None,
    seed: int = 0,
    folder: Path | None = None,
    processes: int = 1,
    ray: str | None = None,
    blocked: bool = False,
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
        blocked: whether the pairs are what :func:`nearfar_tables.block` found. A caller's own need
            not be alike at all; where they are few and none stands out, a fixed similarity decides,
            as it does among rows of one table of which none stands out.
        folder: where what pairs look like is kept meanwhile; with what an earlier call of the same
            arguments has left there it goes on. None: a temporary one.
        processes: that look at pairs; any number finds the same.
        ray: the Ray cluster that looks at them instead: ``local``, ``auto`` or an address.

    Returns:
        The model (None without a pair), and the pairs' scores.

    Raises:
        UserError: a pair names no row, or there is no column.
    """
    settings = settings or load_settings(TablesSettings)
    pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    outside = ((pairs < 0) | (pairs >= frame.height)).any(1)
    if outside.any():
        number = int(outside.argmax())
        left, right = pairs[number]
        raise UserError(
            f"pair {number} is of rows {left} and {right}; expected 0 to {frame.height - 1}"
        )
    if frame.width > COLUMNS:
        raise UserError(
            f"the table has {frame.width} columns; expected {COLUMNS} at most to compare rows by"
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
    with _place(folder) as place:
        model = _model(cells, pairs, settings, seed, place, quiet)
        evidence = gather(model, cells, pairs, place, processes=processes, ray=ray, quiet=quiet)
        score, probability = _decided(model, evidence, pairs, source, known, seed)
        note = ""
        if blocked and not np.ptp(source) and _overlap(model):
            score, probability = _by_similarity(ALONE, model, evidence, pairs, source, known)
            note = (
                "in one table alone no line between matches and others stands out: rows of "
                f"similarity {ALONE[0]} and more match, whatever else is one thing stays apart; "
                "sources in a table each, or match --pairs with labels, tell better"
            )
        elif not blocked and asked < FEW and not _stands_out(model):
            score, probability = _by_similarity(HALF, model, evidence, pairs, source, known)
            note = (
                f"no line between matches and others could be found from {asked} pairs: those of "
                f"similarity {HALF[0]} and more match; more pairs, or those that blocking finds, "
                "tell better"
            )
    probability = np.where(known >= 0, known, probability)[:asked]
    match = probability > settings.threshold
    return model, Scored(pairs[:asked], score[:asked], probability, match, note)


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="nearfar-tables-") as own:
        yield Path(own)


def _model(
    cells: Cells, pairs: NDArray[np.int64], settings: TablesSettings, seed: int, place: Path,
    quiet: bool,
) -> PairModel:  # fmt: skip
    """Similarities, and the matcher that has learnt from copies."""
    kept = place / LEARNT
    if kept.exists():
        return PairModel.load(kept)
    model = PairModel(cells.columns, settings, Similarity(cells))
    if settings.epochs:
        model.matcher = pretrain(
            cells, pairs, settings, seed, similarity=model.similarity, quiet=quiet
        )
    model.save(kept)
    return model


def _decided(
    model: PairModel, evidence: Evidence, pairs: NDArray[np.int64], source: NDArray[np.int64],
    known: NDArray[np.int64], seed: int,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Scores and probabilities [P] of pairs; what there is to fit is fitted to a sample of them."""
    sample = np.arange(len(pairs))
    if len(pairs) > SAMPLE:
        sample = np.sort(np.random.default_rng(seed).choice(sample, SAMPLE, replace=False))
    features, logits = evidence.take(sample)
    model.design = Design.of(features)
    plain = np.concatenate([plain_similarity(seen) for seen, _ in evidence])
    model.plain_scale = _scale(plain)
    score = _standard(plain, model.plain_scale)
    if model.matcher is not None:
        all_logits = np.concatenate([seen for _, seen in evidence])
        model.logit_scale = _scale(all_logits)
        score = score if model.settings.calibration == "adapted" else all_logits
    if model.settings.calibration == "fixed":
        return score, expit(score)
    if model.settings.calibration == "mixture":
        return score, _parted(model, score, pairs, source, known, 0.0, sample)
    wide = model.wide(features, logits)
    found = _parted(model, score, pairs, source, known, 0.0, sample)
    for _ in range(model.settings.rounds):
        label = np.where(known >= 0, known == 1, found > model.settings.threshold)[sample]
        if label.all() or not label.any():
            break
        fitted = LogisticRegression(C=model.settings.strength, max_iter=1000).fit(wide, label)
        model.weights = np.append(fitted.coef_[0], fitted.intercept_)
        score = np.concatenate([model.score_of(*seen) for seen in evidence])
        found = _parted(model, score, pairs, source, known, model.settings.margin, sample)
    return score, found


def _stands_out(model: PairModel) -> bool:
    """Whether the likelier part is more likely than not in the regression's own eyes."""
    if model.settings.calibration != "adapted":
        return True
    return (
        model.weights is not None
        and isinstance(model.mixture, Mixture)
        and model.mixture.high[0] > 0
    )


def _overlap(model: PairModel) -> bool:
    """Whether what was parted is too near each other to be matches and others: in one table, where
    no row's partners contest each other, two normals part any pairs, those of rows that all differ
    too."""
    if model.settings.calibration != "adapted" or model.mixture is None:
        return False
    return isinstance(model.mixture, Cut) or model.mixture.apart < APART


def _by_similarity(
    line: tuple[float, float], model: PairModel, evidence: Evidence, pairs: NDArray[np.int64],
    source: NDArray[np.int64], known: NDArray[np.int64],
) -> tuple[Floats, Floats]:  # fmt: skip
    """Scores and probabilities [P] by plain similarity alone, which the model keeps to."""
    model.weights, model.plain_scale, model.mixture = None, line, Cut(0.0, 1.0)
    score = np.concatenate([model.score_of(*seen) for seen in evidence])
    open_ = uncontested(pairs, score, source, model.settings.margin) & (known != 0)
    return score, np.where(open_, model.probability(score), 0.0)


def _parted(
    model: PairModel, score: Floats, pairs: NDArray[np.int64], source: NDArray[np.int64],
    known: NDArray[np.int64], margin: float, sample: NDArray[np.int64],
) -> Floats:  # fmt: skip
    """Posteriors of a mixture, which the model keeps; 0 for pairs that cannot match."""
    open_ = uncontested(pairs, score, source, margin) & (known != 0)
    model.mixture = fit_mixture(score[sample], open_[sample])
    return np.where(open_, model.probability(score), 0.0)


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


def _scale(x: Floats) -> tuple[float, float]:
    return float(x.mean()), float(x.std() + 1e-6)


def _standard(x: Floats, scale: tuple[float, float]) -> Floats:
    mean, spread = scale
    return (x - mean) / spread
