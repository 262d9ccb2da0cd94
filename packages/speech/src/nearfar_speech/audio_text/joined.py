"""Clips joined to longer ones, and the captions that say what came first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["joined", "then"]


def then(first: str, second: str) -> str:
    """
    >>> then("seven", "three")
    'seven then three'
    """
    return f"{first} then {second}"


def joined(
    first: NDArray[np.float32], second: NDArray[np.float32], apart: int = 0
) -> NDArray[np.float32]:
    """``second`` [M] after ``first`` [L], each brought to the same power.

    Args:
        apart: samples of silence between; below 0, so many lie over each other, at most the shorter
            one but a sample.
    """
    least = 1 - min(len(first), len(second))
    start = len(first) + max(apart, least)
    whole = np.zeros(start + len(second), np.float32)
    for place, part in ((0, first), (start, second)):
        power = float(np.sqrt(np.mean(part**2))) or 1.0
        whole[place : place + len(part)] += 0.1 * part / power
    return np.clip(whole, -1, 1)
