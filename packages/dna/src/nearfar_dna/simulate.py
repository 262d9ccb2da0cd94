"""Simulated genomes for the demo: what tells species apart, and what only hides it, are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar_dna.alphabet import Codes, decode
from nearfar_dna.fragments import draw_fragment
from nearfar_dna.genomes import Genome, Genomes
from nearfar_kit.atomic import write_atomic

__all__ = ["simulate", "write_simulated"]

ORDER = 3  # bases that the next one depends on
GENE = 1200  # bases of a gene, on average


def simulate(species: int = 24, bases: int = 200_000, seed: int = 0) -> Genomes:
    """Genomes of Markov chains, a species each, made of genes whose composition varies.

    A base depends on the three before it by the species' own table, a family's table with a
    departure of its own. Each gene is on either strand and leans along a few directions that are
    the same in all species (as GC and the kinds of proteins are): composition differs more between
    two genes of a species than between two species, but in other directions.

    Args:
        bases: of a genome.
    """
    rng = np.random.default_rng(seed)
    contexts = 4**ORDER
    families = [0.25 * rng.standard_normal((contexts, 4)) for _ in range(max(1, species // 4))]
    leanings = rng.standard_normal((3, contexts, 4)) * np.array([0.35, 0.25, 0.2])[:, None, None]
    genomes = []
    for number in range(species):
        table = families[number % len(families)] + 0.22 * rng.standard_normal((contexts, 4))
        genes: list[Codes] = []
        made = 0
        while made < bases:
            logits = table + np.tensordot(rng.standard_normal(3), leanings, 1)
            length = int(rng.integers(GENE // 2, 3 * GENE // 2)) * 4
            gene = _chain(logits, length, rng)
            genes.append(gene if rng.random() < 0.5 else (3 - gene[::-1]).astype(np.uint8))
            made += length
        genome = np.concatenate(genes)[:bases]
        genomes.append(Genome(f"simulated {number}", f"species {number:02d}", (genome,)))
    return Genomes(tuple(genomes))


def _chain(logits: NDArray[np.float64], length: int, rng: np.random.Generator) -> Codes:
    """A Markov chain; many run side by side and are joined, for a loop over bases is slow."""
    side_by_side = 32
    steps = -(-length // side_by_side)
    chance = np.exp(logits)
    edges = np.cumsum(chance / chance.sum(1, keepdims=True), 1)
    context = rng.integers(len(logits), size=side_by_side)
    drawn = rng.random((steps, side_by_side))
    out = np.empty((steps, side_by_side), np.uint8)
    for step in range(steps):
        base = np.minimum((drawn[step][:, None] > edges[context]).sum(1), 3)
        out[step] = base
        context = (context * 4 + base) % len(logits)
    return out.T.reshape(-1)[:length]


def write_simulated(folder: Path, *, seed: int = 0) -> None:
    """``genomes/``, a FASTA a species; of eight other species contigs, and a few that are labelled.

    ``contigs.fa`` has 60 of each, of 3 to 7 kb; ``labelled.fa`` three more, the species in their
    headers; ``species.tsv`` tells what each contig is.
    """
    rng = np.random.default_rng(seed)
    genomes = simulate(seed=seed).genomes
    known, other = genomes[:16], genomes[16:]

    def species(genome: Genome) -> str:
        return genome.species.replace(" ", "_")

    (folder / "genomes").mkdir()
    for genome in known:
        sequence = decode(genome.pieces[0])
        write_atomic(
            folder / "genomes" / f"{species(genome)}__1.fna", f">{species(genome)}\n{sequence}\n"
        )

    def drawn(genome: Genome) -> str:
        return decode(draw_fragment(genome, int(rng.integers(3000, 7000)), rng))

    contigs = [(genome, drawn(genome)) for genome in other for _ in range(60)]
    contigs = [contigs[n] for n in rng.permutation(len(contigs))]
    few = [(genome, drawn(genome)) for genome in other for _ in range(3)]
    write_atomic(
        folder / "contigs.fa",
        "".join(f">contig_{n}\n{bases}\n" for n, (_, bases) in enumerate(contigs)),
    )
    write_atomic(
        folder / "labelled.fa",
        "".join(f">few_{n} {species(genome)}\n{bases}\n" for n, (genome, bases) in enumerate(few)),
    )
    write_atomic(
        folder / "species.tsv",
        "".join(f"contig_{n}\t{species(genome)}\n" for n, (genome, _) in enumerate(contigs)),
    )
