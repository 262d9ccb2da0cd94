"""Codes of masks, and the numbers that a network counts its classes by.

In files, scores and pictures a mask holds its data set's own codes, with gaps or without
(FreeSurfer's 17 and 53); a network's outputs are 0, 1, 2 ... in the order of the codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "MOST", "codes_of", "gapless", "to_codes", "to_numbers"]

LARGEST = 65535  # code; masks are written as uint8 or uint16
MOST = 256  # classes, the background among them; more is an image taken for a mask


def codes_of(classes: Iterable[int]) -> list[int]:
    """The code of each number."""
    return sorted(classes)


def gapless(classes: Iterable[int]) -> bool:
    """Whether codes and numbers are the same."""
    codes = codes_of(classes)
    return codes == list(range(len(codes)))


def to_numbers(mask: NDArray[np.integer], classes: Mapping[int, str]) -> NDArray[np.uint8]:
    """A mask of codes, all of them in ``classes``, as numbers; of no classes, as it is.

    Example:
        >>> to_numbers(np.array([0, 53, 17]), {0: "background", 17: "left", 53: "right"})
        array([0, 2, 1], dtype=uint8)
    """
    if not classes and mask.max() >= MOST:
        raise ValueError(f"mask holds {mask.max()}; expected the classes of such codes")
    if not gapless(classes):
        mask = np.searchsorted(codes_of(classes), mask)
    return mask.astype(np.uint8)


def to_codes(numbers: NDArray[np.uint8], classes: Mapping[int, str]) -> NDArray[np.integer]:
    """What :func:`to_numbers` was given, as uint8 where the largest of all codes fits.

    Example:
        >>> to_codes(np.array([0, 2, 1]), {0: "background", 17: "left", 53: "right"})
        array([ 0, 53, 17], dtype=uint8)
    """
    codes = codes_of(classes)
    table: NDArray[np.integer] = np.array(codes, np.uint8 if codes[-1] <= 255 else np.uint16)
    return table[numbers]
