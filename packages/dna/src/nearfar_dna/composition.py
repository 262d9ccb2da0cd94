"""Composition by k-mers, the baselines that an embedding has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nearfar_dna.alphabet import UNKNOWN, Codes

__all__ = [
    "canonical_fold", "canonical_frequencies", "frequencies", "kmer_counts", "standardised",
    "tnf_kernel", "unit_rows",
]  # fmt: skip

Floats = NDArray[np.float32]
STRETCH = 2**15  # bases


def kmer_counts(sequences: Sequence[Codes], k: int) -> Floats:
    """How often each k-mer occurs: [N, 4^k], in the order AA.. to TT..; those with an N are not.

    Args:
        k: 1 to 8.
    """
    counts = np.zeros((len(sequences), 4**k), np.float32)
    for row, sequence in zip(counts, sequences, strict=True):
        # Two bytes hold an 8-mer: a stretch and its codes stay in the processor's cache.
        for start in range(0, len(sequence) - k + 1, STRETCH):
            row += _counted(sequence[start : start + STRETCH + k - 1], k)
    return counts


def _counted(bases: Codes, k: int) -> NDArray[np.int64]:
    many = len(bases) - k + 1
    code = bases[:many].astype(np.uint16)
    for place in range(1, k):
        code *= 4
        code += bases[place : place + many]
    unknown = np.flatnonzero(bases == UNKNOWN)
    if len(unknown):
        spoiled = (unknown[:, None] - np.arange(k)).ravel()
        known = np.ones(many, bool)
        known[spoiled[(spoiled >= 0) & (spoiled < many)]] = False
        code = code[known]
    return np.bincount(code, minlength=4**k)


@lru_cache
def canonical_fold(k: int) -> NDArray[np.int64]:
    """[4^k] the number of each k-mer's pair with its reverse complement.

    Example:
        >>> int(canonical_fold(4).max()) + 1
        136
    """
    code = np.arange(4**k)
    other = np.zeros_like(code)
    left = code.copy()
    for _ in range(k):
        other = other * 4 + (3 - left % 4)
        left //= 4
    return np.unique(np.minimum(code, other), return_inverse=True)[1].astype(np.int64)


def frequencies(counts: Floats) -> Floats:
    """Rows that sum to 1; a row of zeros stays."""
    shares: Floats = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return shares


def canonical_frequencies(sequences: Sequence[Codes], k: int) -> Floats:
    """Frequencies of k-mers, either strand alike: [N, pairs]."""
    counts, fold = kmer_counts(sequences, k), canonical_fold(k)
    order = np.argsort(fold, kind="stable")
    starts = np.flatnonzero(np.diff(fold[order], prepend=-1))
    return frequencies(np.add.reduceat(counts[:, order], starts, axis=1))


def standardised(rows: Floats, like: Floats | None = None) -> Floats:
    """Each column less its mean, over its standard deviation, of ``like`` or of the rows."""
    own = rows if like is None else like
    spread = own.std(0)
    scaled: Floats = (rows - own.mean(0)) / np.where(spread > 0, spread, 1)
    return scaled


def unit_rows(rows: Floats) -> Floats:
    """Rows of norm 1; a row of zeros stays."""
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = (rows / np.where(norm > 0, norm, 1)).astype(rows.dtype)
    return unit


@lru_cache
def tnf_kernel(k: int = 4) -> Floats:
    """[4^k, 103 for k = 4] an orthonormal basis of what k-mer frequencies are free to vary in.

    Frequencies sum to 1, a k-mer's is that of its reverse complement in DNA of two strands, and
    the first k - 1 bases of k-mers are the last k - 1 of others: VAMB's TNF-K (Nissen et al. 2021,
    doi 10.1038/s41587-020-00777-4), in the order of :func:`kmer_counts`.
    """
    n = 4**k
    constraints = [np.ones(n)]
    fold = canonical_fold(k)
    for pair in range(int(fold.max()) + 1):
        members = np.flatnonzero(fold == pair)
        if len(members) == 2:
            row = np.zeros(n)
            row[members] = 1, -1
            constraints.append(row)
    code = np.arange(n)
    for inner in range(4 ** (k - 1)):
        row = np.zeros(n)
        row[code // 4 == inner] += 1
        row[code % 4 ** (k - 1) == inner] -= 1
        constraints.append(row)
    _, values, basis = np.linalg.svd(np.array(constraints))
    rank = int((values > 1e-8).sum())
    kernel: Floats = basis[rank:].T.astype(np.float32)
    return kernel
