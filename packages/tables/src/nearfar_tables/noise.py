"""Noise put into tables, in the three mixes of the paper's benchmarks (Ji et al. 2024, arXiv
2412.00324): balanced, mostly semantic, mostly typographic."""

from __future__ import annotations

import numpy as np
import polars as pl

from nearfar_kit.errors import UserError
from nearfar_tables.cells import normal_text, texts_of
from nearfar_tables.lexicon import synonyms
from nearfar_tables.perturb import OPERATIONS, perturbed

__all__ = ["MIXES", "inject"]

# An operation is drawn as often as its name stands here.
MIXES: dict[str, tuple[str, ...]] = {
    "balanced": tuple(OPERATIONS),
    "semantic": (*OPERATIONS, *5 * ("replace attribute", "replace word")),
    "typographic": (*OPERATIONS, *10 * ("mistype",)),
}


def inject(
    frame: pl.DataFrame, mix: str, rng: np.random.Generator, *, share: float = 0.5, most: int = 2
) -> pl.DataFrame:
    """A frame as text, of whose rows a ``share`` is perturbed, by 1 to ``most`` operations each.

    Args:
        mix: a name of ``MIXES``.

    Raises:
        UserError: an unknown mix.
    """
    if mix not in MIXES:
        raise UserError(f"noise {mix!r}: expected one of {', '.join(MIXES)}")
    words = synonyms()
    columns = [texts_of(frame[name]).to_list() for name in frame.columns]
    times = np.where(rng.random(frame.height) < share, rng.integers(1, most + 1, frame.height), 0)
    for row in np.flatnonzero(times).tolist():
        texts = [column[row] for column in columns]
        normal = [None if text is None else normal_text(text) or None for text in texts]
        new = perturbed(normal, rng, words, MIXES[mix], times=int(times[row]))
        for column, before, after in zip(columns, normal, new, strict=True):
            if before != after:
                column[row] = after
    return pl.DataFrame(dict(zip(frame.columns, columns, strict=True)),
                        schema=dict.fromkeys(frame.columns, pl.String))  # fmt: skip
