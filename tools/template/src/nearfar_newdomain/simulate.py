"""Simulated measurements: a few columns tell the label, loud ones change at every measurement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from nearfar_kit.atomic import replacing
from nearfar_newdomain.measured import Measured

__all__ = ["simulate", "write_simulated"]


def simulate(things: int = 300, labels: int = 6, *, seed: int = 0) -> Measured:
    """Two measurements each of ``things``, 8 columns that tell and 24 that do not."""
    draw = np.random.default_rng(seed)
    label = np.arange(things) % labels
    own = draw.normal(size=(labels, 8))[label] + draw.normal(0, 0.3, (things, 8))
    told = own[:, None] + draw.normal(0, 0.3, (things, 2, 8))
    noise = draw.normal(0, 2.0, (things, 2, 24))
    values = np.concatenate([told, noise], 2) @ np.linalg.qr(draw.normal(size=(32, 32)))[0]
    return Measured(
        values.reshape(-1, 32).astype(np.float32), np.repeat(np.arange(things), 2),
        np.repeat(label, 2), tuple(f"x{n}" for n in range(32)),
    )  # fmt: skip


def write_simulated(folder: Path, *, seed: int = 0) -> None:
    """``measured.csv``, a row a measurement."""
    found = simulate(seed=seed)
    frame = pl.DataFrame(found.values, schema=list(found.columns)).with_columns(
        thing=pl.Series(found.thing), label=pl.Series(found.label)
    )
    with replacing(folder / "measured.csv") as beside:
        frame.write_csv(beside)
