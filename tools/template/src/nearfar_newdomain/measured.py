"""Measurements of things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Measured"]


@dataclass(frozen=True)
class Measured:
    """A row a measurement.

    Attributes:
        values: float32 [N, D].
        thing: [N] integers, two rows or more of each.
        label: [N] integers, -1 where there is none.
        columns: names of the D columns.
    """

    values: NDArray[np.float32]
    thing: NDArray[np.int64]
    label: NDArray[np.int64]
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)
