"""Composition, fragments and errors against plain definitions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar_dna import composition
from nearfar_dna.alphabet import decode, encode, reverse_complement
from nearfar_dna.composition import (
    canonical_fold,
    canonical_frequencies,
    frequencies,
    kmer_counts,
    tnf_kernel,
)  # fmt: skip
from nearfar_dna.fragments import draw_disjoint, draw_fragments, with_errors
from nearfar_dna.genomes import Genome

sequences = st.lists(st.text("ACGTNacgt", max_size=60), min_size=1, max_size=4)


@given(texts=sequences, k=st.integers(1, 5))
def test_counts_are_those_of_a_loop(texts, k):
    counts = kmer_counts([encode(text) for text in texts], k)
    for text, row in zip(texts, counts, strict=True):
        upper = text.upper()
        words = [upper[at : at + k] for at in range(len(upper) - k + 1)]
        expected = Counter(word for word in words if "N" not in word)
        number = {word: sum("ACGT".index(b) * 4 ** (k - 1 - i) for i, b in enumerate(word))
                  for word in expected}  # fmt: skip
        assert row.sum() == sum(expected.values())
        for word, times in expected.items():
            assert row[number[word]] == times


def test_stretches_lose_no_word(monkeypatch):
    codes = np.random.default_rng(0).integers(0, 5, 500).astype(np.uint8)
    whole = kmer_counts([codes], 4)
    monkeypatch.setattr(composition, "STRETCH", 37)
    assert np.array_equal(kmer_counts([codes], 4), whole)


@given(text=st.text("ACGTN", min_size=8, max_size=80), k=st.integers(1, 6))
def test_canonical_composition_is_alike_on_both_strands(text, k):
    codes = encode(text)
    both = canonical_frequencies([codes, reverse_complement(codes)], k)
    assert np.allclose(both[0], both[1])
    assert decode(reverse_complement(reverse_complement(codes))) == text


def test_the_kernel_is_orthonormal_and_alike_on_both_strands():
    kernel = tnf_kernel()
    assert kernel.shape == (256, 103)
    assert np.allclose(kernel.T @ kernel, np.eye(103), atol=1e-5)
    fold = canonical_fold(4)
    for pair in range(136):
        assert np.ptp(kernel[fold == pair], axis=0).max() < 1e-5
    codes = np.random.default_rng(0).integers(0, 4, 400).astype(np.uint8)
    f = frequencies(kmer_counts([codes, reverse_complement(codes)], 4)) - 1 / 256
    assert np.allclose(*(f @ kernel), atol=1e-6)


def test_errors_come_at_their_rate_and_of_three_kinds():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 100_000).astype(np.uint8)
    assert with_errors(codes, 0.0, rng) is codes
    substituted = lengthened = shortened = 0
    for start in range(0, len(codes), 10):
        piece = codes[start : start + 10]
        seen = with_errors(piece, 0.01, rng)
        lengthened += len(seen) > 10
        shortened += len(seen) < 10
        substituted += len(seen) == 10 and (seen != piece).any()
    for count in (substituted, lengthened, shortened):
        assert count == pytest.approx(333, abs=80)


@given(
    sizes=st.lists(st.integers(300, 3000), min_size=1, max_size=3),
    lengths=st.lists(st.integers(20, 400), min_size=2, max_size=8),
    seed=st.integers(0, 99),
)
def test_pieces_of_a_pair_do_not_overlap(sizes, lengths, seed):
    # Each base tells its place: numbers as bases show where a piece came from.
    total = sum(sizes)
    places = np.arange(total, dtype=np.int64)
    edges = np.cumsum(sizes)[:-1]
    genome = Genome("g", "s", tuple(np.split(places, edges)))
    from nearfar_dna import fragments

    kept = fragments._on_a_strand
    fragments._on_a_strand = lambda codes, rng: codes
    try:
        found = draw_disjoint(genome, lengths, np.random.default_rng(seed))
    finally:
        fragments._on_a_strand = kept
    joined = np.concatenate(found)
    assert len(np.unique(joined)) == len(joined)
    assert len(found) == len(lengths)
    for piece, length in zip(found, lengths, strict=True):
        assert len(piece) <= length
        assert np.array_equal(np.diff(piece), np.ones(len(piece) - 1))


def test_fragments_of_a_species_do_not_depend_on_the_others(genomes):
    one = draw_fragments(genomes.of_species(genomes.names[2:3]), 3, 500, 7)[0]
    every, labels = draw_fragments(genomes, 3, 500, 7)
    assert all(np.array_equal(a, every[6 + n]) for n, a in enumerate(one))
    assert labels.tolist() == [s for s in range(6) for _ in range(3)]
