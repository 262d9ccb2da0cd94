"""Fragments of genomes as sequencing gives them: any place, either strand, with read errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearfar_dna.alphabet import UNKNOWN, Codes, reverse_complement
from nearfar_dna.genomes import Genome, Genomes

__all__ = ["draw_disjoint", "draw_fragment", "draw_fragments", "with_errors"]

TRIES = 50
FEWEST_KNOWN = 0.9


def with_errors(codes: Codes, rate: float, rng: np.random.Generator) -> Codes:
    """Read errors: a base is substituted, left out, or has another put before it.

    Each base has one with chance ``rate``; the three kinds are as frequent as each other, as they
    nearly are in long reads.
    """
    if rate <= 0:
        return codes
    at = np.flatnonzero(rng.random(len(codes), np.float32) < rate)
    kind = rng.integers(3, size=len(at))
    new = codes.copy()
    wrong = at[(kind == 0) & (codes[at] < UNKNOWN)]
    new[wrong] = (codes[wrong] + rng.integers(1, 4, len(wrong))) % 4
    times = np.ones(len(codes), np.int8)
    times[at] = kind.astype(np.int8)
    times[at[kind == 0]] = 1
    times[at[kind == 1]] = 0
    out = np.repeat(new, times)
    moved = np.array([0, -1, 1])[kind]
    before = (at + np.cumsum(moved) - moved)[kind == 2]  # the first of an inserted base's copies
    out[before] = rng.integers(0, 4, len(before))
    return out


def draw_fragment(
    genome: Genome, length: int, rng: np.random.Generator, errors: float = 0.0
) -> Codes:
    """A piece of ``length`` bases, or a whole piece of the assembly where none is as long."""
    return with_errors(_on_a_strand(_cut(genome, length, rng), rng), errors, rng)


def draw_disjoint(genome: Genome, lengths: Sequence[int], rng: np.random.Generator) -> list[Codes]:
    """Pieces of one genome of about these lengths, no two of which overlap, each on either strand.

    Any two of them are a pair. Where the genome is shorter than all of them together, all are
    shortened alike; one that would cross from a piece of the assembly into the next is cut there.
    """
    sizes = [len(piece) for piece in genome.pieces]
    edges = np.cumsum([0, *sizes])
    wanted = np.array(lengths, np.float64)
    wanted = np.floor(wanted * min(1.0, edges[-1] / wanted.sum())).astype(np.int64)
    gaps = np.sort(rng.integers(int(edges[-1] - wanted.sum()) + 1, size=len(wanted)))
    starts = gaps + np.cumsum(wanted) - wanted
    found = []
    for start, length in zip(starts.tolist(), wanted.tolist(), strict=True):
        number = int(np.searchsorted(edges, start, side="right")) - 1
        inside = min(start + length, int(edges[number + 1]))
        if 2 * (inside - start) >= length:
            first, last, piece = start, inside, number
        else:
            first, last, piece = inside, start + length, number + 1
        offset = int(edges[piece])
        found.append(_on_a_strand(genome.pieces[piece][first - offset : last - offset], rng))
    return found


def draw_fragments(
    genomes: Genomes, per_species: int, length: int, seed: int, errors: float = 0.0
) -> tuple[list[Codes], NDArray[np.int64]]:
    """So many fragments of each species, its genomes in equal parts, and the species' numbers."""
    fragments, labels = [], []
    for number, name in enumerate(genomes.names):
        own = [genome for genome in genomes.genomes if genome.species == name]
        for count in range(per_species):
            # Of one seed alone: a species' fragments are the same whatever others there are.
            rng = np.random.default_rng([seed, count, *name.encode()])
            genome = own[int(rng.integers(len(own)))]
            fragments.append(draw_fragment(genome, length, rng, errors))
            labels.append(number)
    return fragments, np.array(labels)


def _on_a_strand(codes: Codes, rng: np.random.Generator) -> Codes:
    return reverse_complement(codes) if rng.random() < 0.5 else codes


def _cut(genome: Genome, length: int, rng: np.random.Generator) -> Codes:
    piece: Codes = genome.pieces[0]
    for _ in range(TRIES):
        number, at = _place(genome, length, rng)
        piece = genome.pieces[number][at : at + length]
        if (piece < UNKNOWN).mean() >= FEWEST_KNOWN:
            break
    return piece


def _place(genome: Genome, length: int, rng: np.random.Generator) -> tuple[int, int]:
    """The number of a piece and a place in it: each place of the genome alike."""
    sizes = np.array([len(piece) for piece in genome.pieces])
    room = np.maximum(sizes - length + 1, 0)
    if not room.any():
        return int(sizes.argmax()), 0
    edges = np.cumsum(room)
    drawn = int(rng.integers(int(edges[-1])))
    number = int(np.searchsorted(edges, drawn, side="right"))
    return number, drawn - (int(edges[number]) - int(room[number]))
