"""Bases as numbers: A, C, G, T are 0 to 3, all else is 4."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["IUPAC", "UNKNOWN", "Codes", "decode", "encode", "reverse_complement"]

Codes = NDArray[np.uint8]

UNKNOWN = 4
IUPAC = "ACGTURYSWKMBDHVN"  # and "-" and ".", gaps

_CODE = bytearray([UNKNOWN] * 256)
for _letters, _number in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("TtUu", 3)):
    for _letter in _letters.encode():
        _CODE[_letter] = _number
_BASE = np.frombuffer(b"ACGTN", np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, UNKNOWN], np.uint8)


def encode(sequence: str | bytes) -> Codes:
    """Codes [L] of a sequence; soft-masked bases are bases, U is T, ambiguity codes are 4.

    Example:
        >>> encode("AcgUN").tolist()
        [0, 1, 2, 3, 4]
    """
    text = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
    return np.frombuffer(text.translate(_CODE), np.uint8)


def decode(codes: Codes) -> str:
    """The sequence of codes, N for what is unknown."""
    return _BASE[codes].tobytes().decode("ascii")


def reverse_complement(codes: Codes) -> Codes:
    """The other strand, read in its own direction.

    Example:
        >>> decode(reverse_complement(encode("AACGN")))
        'NCGTT'
    """
    return _COMPLEMENT[codes[::-1]]
