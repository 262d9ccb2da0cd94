"""Embeddings without training: composition as the field uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nearfar_dna.alphabet import Codes
from nearfar_dna.composition import (
    Floats,
    canonical_frequencies,
    frequencies,
    kmer_counts,
    standardised,
    tnf_kernel,
)
from nearfar_dna.tnf_vae import tnf_vae

__all__ = ["BASELINES", "TARGET"]


def tnf(sequences: Sequence[Codes], seed: int = 0) -> Floats:
    """Tetranucleotide frequencies [N, 256]."""
    return frequencies(kmer_counts(sequences, 4))


def canonical_tnf(sequences: Sequence[Codes], seed: int = 0) -> Floats:
    """Of either strand alike [N, 136]."""
    return canonical_frequencies(sequences, 4)


def standardised_tnf(sequences: Sequence[Codes], seed: int = 0) -> Floats:
    """Canonical TNF z-scored over the sequences given: the one to beat."""
    return standardised(canonical_tnf(sequences))


def tnf_k(sequences: Sequence[Codes], seed: int = 0) -> Floats:
    """TNF-K [N, 103], in the right order of k-mers."""
    projected: Floats = ((tnf(sequences) - 1 / 256) @ tnf_kernel()).astype(np.float32)
    return projected


def vae(sequences: Sequence[Codes], seed: int = 0) -> Floats:
    """A VAE of TNF-K, fitted on the sequences given."""
    return tnf_vae(tnf_k(sequences), seed=seed)


TARGET = "TNF, canonical, z-scored"
BASELINES: dict[str, Callable[[Sequence[Codes], int], Floats]] = {
    "TNF": tnf,
    "TNF, canonical": canonical_tnf,
    TARGET: standardised_tnf,
    "TNF-K": tnf_k,
    "TNF VAE": vae,
}
