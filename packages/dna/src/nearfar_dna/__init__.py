"""Species-aware DNA embedding.

>>> from nearfar_dna import DnaEmbedder
>>> from nearfar_dna.simulate import simulate
>>> genomes = simulate(species=3, bases=40_000)
>>> model = DnaEmbedder(steps=2, fragments_a_genome=6, width=8).fit(genomes)
>>> model.transform(["ACGTTGCAAC" * 200]).shape
(1, 8)
"""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

__version__ = "0.1.0"

_HOMES = {
    "DnaEmbedder": "estimator",
    "DnaModel": "model",
    "DnaSettings": "settings",
    "Genomes": "genomes",
    "read_genomes": "genomes",
    "read_sequences": "readers",
    "species_bins": "binning",
}
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
