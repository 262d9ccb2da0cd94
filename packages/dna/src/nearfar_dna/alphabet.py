"""Bases as numbers: A, C, G, T are 0 to 3, all else is 4."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["UNKNOWN", "Codes", "decode", "encode", "encode_dna", "reverse_complement"]

Codes = NDArray[np.uint8]

UNKNOWN = 4
IUPAC = "ACGTURYSWKMBDHVN"
GAPS = b".-"

_CODE = bytearray([UNKNOWN] * 256)
for _letters, _number in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("TtUu", 3)):
    for _letter in _letters.encode():
        _CODE[_letter] = _number
_LETTERS = f"{IUPAC}{IUPAC.lower()}".encode() + GAPS
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


def encode_dna(sequence: str | bytes) -> Codes:
    """As :func:`encode`, of what is DNA; gaps are left out.

    Raises:
        ValueError: a letter is no IUPAC code.

    Example:
        >>> encode_dna("AC-GT").tolist()
        [0, 1, 2, 3]
    """
    text = sequence.encode("utf-8", "replace") if isinstance(sequence, str) else bytes(sequence)
    if foreign := text.translate(None, _LETTERS):
        letter, place = foreign[:1].decode("utf-8", "replace"), text.index(foreign[:1]) + 1
        raise ValueError(f"holds {letter!r} at place {place}; expected DNA in IUPAC codes")
    return encode(text.translate(None, GAPS))


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
