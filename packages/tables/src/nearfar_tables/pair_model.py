"""What has been learnt of pairs, kept: the same scores for rows that come later."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.special import expit

from nearfar_kit.checkpoint import model_state, restored, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_tables.calibration import Cut, Mixture
from nearfar_tables.cells import BUCKETS, Cells
from nearfar_tables.embeddings import embedded
from nearfar_tables.matcher import Matcher
from nearfar_tables.pretrain import PairTensors, new_matcher
from nearfar_tables.settings import TablesSettings
from nearfar_tables.similarity import ATTRIBUTE, RECORD, PairFeatures, Similarity

__all__ = ["Design", "PairModel"]

Floats = NDArray[np.float64]
FORMAT = "nearfar-tables pairs 2"
CHUNK = 1 << 15  # pairs at a time
TEXT = 4  # the first of an attribute's similarities: those of its text
FLOOR = 0.05  # of a similarity in a product


@dataclass(frozen=True)
class Design:
    """How similarities become the columns of a regression.

    Attributes:
        kept: of the attributes' similarities, those that some pair has. fill: [kept], the mean,
        for what cannot be compared. flags: [flags] of the kept, whose absence is a column too.
        mean, spread: [kept + flags + record + 4], taken off and divided by.
    """

    kept: NDArray[np.int64]
    fill: Floats
    flags: NDArray[np.int64]
    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, features: PairFeatures) -> Design:
        flat = features.attribute.reshape(len(features), -1).astype(np.float64)
        kept = np.flatnonzero(np.isfinite(flat).any(0))
        fill = np.nanmean(flat[:, kept], axis=0)
        _, flags = np.unique(np.isnan(flat[:, kept]), axis=1, return_index=True)
        plain = cls(kept, fill, flags, np.zeros(()), np.ones(()))
        raw = plain.columns(features)
        return cls(kept, fill, flags, raw.mean(0), raw.std(0) + 1e-6)

    def columns(self, features: PairFeatures) -> Floats:
        """[P, columns], standardised."""
        flat = features.attribute.reshape(len(features), -1)[:, self.kept].astype(np.float64)
        absent = np.isnan(flat)
        filled = np.where(absent, self.fill, flat)
        raw = np.column_stack(
            [filled, absent[:, self.flags], features.record, _in_all(features.attribute)]
        )
        scaled: Floats = (raw - self.mean) / self.spread
        return scaled


@dataclass
class PairModel:
    """A scorer of pairs: weights of words, the matcher, a regression, and where matches begin.

    Attributes:
        columns: that rows are compared by. similarity: with the weights of the first rows.
        design: None until pairs have been looked at.
        matcher: None where nothing was learnt from copies (``epochs=0``).
        logit_scale: mean and deviation of the matcher's logits.
        weights: of the regression over the design's columns and the logit, and its intercept last;
        None where the logits, or without a matcher the plain similarities, are the scores.
        plain_scale: mean and deviation of the plain similarities.
        mixture: None where scores are log-odds already, or nothing stood out.
    """

    columns: tuple[str, ...]
    settings: TablesSettings
    similarity: Similarity
    design: Design | None = None
    plain_scale: tuple[float, float] = (0.0, 1.0)
    matcher: Matcher | None = None
    logit_scale: tuple[float, float] = (0.0, 1.0)
    weights: Floats | None = None
    mixture: Mixture | Cut | None = None

    def look(self, cells: Cells, pairs: NDArray[np.int64]) -> tuple[PairFeatures, Floats]:
        """Features of pairs [P, 2] of rows, and the matcher's logits [P]; 0 without a matcher."""
        features = self.similarity.features(cells, pairs)
        if self.matcher is None:
            return features, np.zeros(len(pairs))
        vectors = embedded(cells, self.settings)
        return features, PairTensors.of(cells, vectors, pairs, features).logits(self.matcher)

    def wide(self, features: PairFeatures, logits: Floats) -> Floats:
        """[P, columns] that the regression reads."""
        assert self.design is not None
        wide = self.design.columns(features)
        if self.matcher is None:
            return wide
        mean, spread = self.logit_scale
        return np.column_stack([wide, (logits - mean) / spread])

    def score_of(self, features: PairFeatures, logits: Floats) -> Floats:
        """[P] of what :meth:`look` saw."""
        if self.weights is not None:
            found: Floats = self.wide(features, logits) @ self.weights[:-1] + self.weights[-1]
            return found
        if self.matcher is not None and self.settings.calibration != "adapted":
            return logits
        mean, spread = self.plain_scale
        return (plain_similarity(features) - mean) / spread

    def score(self, frame: pl.DataFrame, pairs: NDArray[np.int64]) -> Floats:
        """[P] of pairs of rows of a frame with the columns of the first one.

        Raises:
            UserError: a column is missing.
        """
        missing = [name for name in self.columns if name not in frame.columns]
        if missing:
            raise UserError(f"no column {missing[0]!r}; expected {', '.join(self.columns)}")
        cells = Cells.of(frame.select(self.columns))
        parts = [np.zeros(0)]
        for start in range(0, len(pairs), CHUNK):
            rows, local = np.unique(pairs[start : start + CHUNK], return_inverse=True)
            parts.append(self.score_of(*self.look(cells.part(rows), local.reshape(-1, 2))))
        return np.concatenate(parts)

    def probability(self, scores: Floats) -> Floats:
        """[P] that pairs are one thing, by themselves: whether a row has a better partner is not
        looked at here."""
        if self.settings.calibration == "fixed":
            found: Floats = expit(scores)
            return found
        return np.zeros(len(scores)) if self.mixture is None else self.mixture.posterior(scores)

    def check(self) -> None:
        """Raises ValueError where the parts are not of one model, as those of a stranger may be."""
        many = len(self.columns)
        own = self.similarity
        for some in (own.word_weights, own.gram_weights):
            if len(some) != many:
                raise ValueError(f"weights of {len(some)} columns, not {many}")
        weights = [*own.word_weights, *own.gram_weights, own.row_word_weights, own.row_gram_weights]
        arrays: list[tuple[NDArray[Any], type, tuple[int, ...]]] = [
            (one, np.float64, (BUCKETS,)) for one in weights
        ]
        width = 0
        if self.design is not None:
            d, attributes = self.design, many * len(ATTRIBUTE)
            width = len(d.kept) + len(d.flags) + len(RECORD) + TEXT
            arrays += [
                (d.kept, np.int64, d.kept.shape[:1]), (d.flags, np.int64, d.flags.shape[:1]),
                (d.fill, np.float64, d.kept.shape), (d.mean, np.float64, (width,)),
                (d.spread, np.float64, (width,)),
            ]  # fmt: skip
            for places, most in ((d.kept, attributes), (d.flags, len(d.kept))):
                if ((places < 0) | (places >= most)).any():
                    raise ValueError("a design of other columns")
        if self.weights is not None:
            if self.design is None:
                raise ValueError("weights without a design")
            size = width + (self.matcher is not None) + 1
            arrays.append((self.weights, np.float64, (size,)))
        for array, dtype, shape in arrays:
            if array.dtype != dtype or array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{list(array.shape)} of {array.dtype}; expected {list(shape)}")
        line = [] if self.mixture is None else [*asdict(self.mixture).values()]
        numbers = [*self.plain_scale, *self.logit_scale]
        for one in line:
            numbers += one if isinstance(one, tuple | list) else [one]
        if (
            len(self.plain_scale) != 2
            or len(self.logit_scale) != 2
            or not all(
                isinstance(number, int | float) and math.isfinite(number) for number in numbers
            )
        ):
            raise ValueError("scales that are no numbers")

    def save(self, path: Path) -> None:
        """One safetensors file."""
        state: dict[str, Any] = {
            "format": FORMAT, "columns": list(self.columns),
            "settings": self.settings.model_dump(mode="json"),
            "similarity": {name: _tensors(v) for name, v in self.similarity.weights().items()},
            "design": None if self.design is None else {
                f.name: torch.from_numpy(np.array(getattr(self.design, f.name)))
                for f in fields(Design)
            },
            "plain_scale": self.plain_scale, "logit_scale": self.logit_scale,
            "matcher": None if self.matcher is None else dict(self.matcher.state_dict()),
            "weights": None if self.weights is None else torch.from_numpy(self.weights),
            "mixture": None if self.mixture is None else asdict(self.mixture),
        }  # fmt: skip
        save_checkpoint(path, state)

    @classmethod
    def load(cls, path: Path) -> PairModel:
        """Raises UserError where the file is no model of pairs."""
        with model_state(path, FORMAT) as state:
            settings = load_settings(TablesSettings, base=state["settings"])
            columns = tuple(state["columns"])
            if not all(isinstance(name, str) for name in columns):
                raise ValueError("columns that are no names")
            matcher = None
            if state["matcher"] is not None:
                matcher = restored(lambda: new_matcher(len(columns), settings, 0), state["matcher"])
                matcher.eval()
            design, weights, mixture = state["design"], state["weights"], state["mixture"]
            model = cls(
                columns=columns,
                settings=settings,
                similarity=Similarity.of_weights(
                    **{name: _arrays(value) for name, value in state["similarity"].items()}
                ),
                design=None
                if design is None
                else Design(**{name: value.numpy() for name, value in design.items()}),
                plain_scale=tuple(state["plain_scale"]),
                matcher=matcher,
                logit_scale=tuple(state["logit_scale"]),
                weights=None if weights is None else weights.numpy(),
                mixture=_line(mixture),
            )
            model.check()
        return model


def plain_similarity(features: PairFeatures) -> Floats:
    """[P]: words, 3-grams and what is held, over all cells together."""
    found: Floats = features.record[:, :3].mean(1).astype(np.float64)
    return found


def _in_all(attribute: NDArray[np.float32]) -> Floats:
    """[P, 4]: geometric means of the text similarities over the attributes that both rows have.

    One attribute that differs pulls them down, which no weighted sum of attributes can express: a
    beer's name alike and its brewery another is another beer.
    """
    alike = attribute[:, :, :TEXT].astype(np.float64)
    known = np.isfinite(alike)
    logs = np.log(np.where(known, np.clip(alike, 0, 1) + FLOOR, 1.0)).sum(1)
    return np.where(known.any(1), np.exp(logs / np.maximum(known.sum(1), 1)), 0.0)


def _line(kept: dict[str, Any] | None) -> Mixture | Cut | None:
    if kept is None:
        return None
    return Cut(**kept) if "at" in kept else Mixture(**kept)


def _tensors(value: Any) -> Any:
    if isinstance(value, list):
        return [torch.from_numpy(item) for item in value]
    return torch.from_numpy(value)


def _arrays(value: Any) -> Any:
    return [item.numpy() for item in value] if isinstance(value, list) else value.numpy()
