"""A baseline that knows one thing more: what is in no training bundle may be likelier, or less."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nearfar_bundle.baselines import Blend, Made
from nearfar_bundle.evaluate import CHOSEN_BY, evaluate
from nearfar_bundle.evidence import FIRST
from nearfar_bundle.finish import KINDS, OFFSETS
from nearfar_bundle.ranking import Scores
from nearfar_bundle.split import Split

__all__ = ["Raised", "cold_raised"]


@dataclass(frozen=True)
class Raised:
    """A blend's scores, and a number more for each item."""

    blend: Blend
    more: NDArray[np.float32]

    @property
    def size(self) -> int:
        return self.blend.size

    def scores(self, shown: csr_matrix) -> Scores:
        found, more = self.blend.scores(shown), torch.from_numpy(self.more)
        return lambda own: torch.as_tensor(found(own)) + more[own]


def cold_raised(split: Split, blend: Blend) -> Raised:
    """Cold items raised by what finds most of all, warm and cold items of the validation part.

    The steps, and what they are chosen by, are those of :func:`nearfar_bundle.finish.finish`.
    """
    asked, cold = split.valid, (split.degrees == 0).astype(np.float32)
    made = np.asarray(blend.scores(asked.shown)(slice(0, blend.size)), np.float32)
    last = min(20, made.shape[1])
    unit = float(np.partition(made, -last, 1)[:, -last].mean()) / FIRST

    def value(offset: float) -> float:
        found = evaluate(Made(made + offset * unit * cold), asked, split.degrees > 0)
        return float(np.nansum([found[kind + name] for kind in KINDS for name in CHOSEN_BY]))

    return Raised(blend, max(OFFSETS, key=value) * unit * cold)
