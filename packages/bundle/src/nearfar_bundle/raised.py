"""A baseline that knows one thing more: what is in no training bundle may be likelier, or less."""

from __future__ import annotations

import numpy as np

from nearfar_bundle.baselines import Blend
from nearfar_bundle.evaluate import Raised
from nearfar_bundle.evidence import FIRST
from nearfar_bundle.finish import OFFSETS, worth
from nearfar_bundle.split import Split

__all__ = ["cold_raised"]


def cold_raised(split: Split, blend: Blend) -> Raised:
    """Cold items raised by what finds most of all, warm and cold items of the validation part.

    The steps, and what they are chosen by, are those of :func:`nearfar_bundle.finish.finish`.
    """
    asked, cold = split.valid, (split.degrees == 0).astype(np.float32)
    made = np.asarray(blend.scores(asked.shown)(slice(0, blend.size)), np.float32)
    last = min(20, made.shape[1])
    unit = float(np.partition(made, -last, 1)[:, -last].mean()) / FIRST

    def value(offset: float) -> float:
        return worth(made + offset * unit * cold, asked, split.degrees > 0)

    return Raised(blend, max(OFFSETS, key=value) * unit * cold)
