"""How fast: embedding against counting TNF, and binning of many contigs.

python packages/dna/benchmarks/speed.py [MEGABASES] [CONTIGS]
"""

import resource
import sys
import time

import numpy as np

from nearfar_dna.baselines import canonical_tnf
from nearfar_dna.binning import neighbour_threshold, species_bins
from nearfar_dna.composition import unit_rows
from nearfar_dna.model import DnaModel, new_encoder
from nearfar_dna.settings import DnaSettings

LENGTH = 5000


def main(megabases: int = 20, contigs: int = 10_000) -> None:
    rng = np.random.default_rng(0)
    sequences = [
        rng.integers(0, 4, LENGTH).astype(np.uint8) for _ in range(megabases * 10**6 // LENGTH)
    ]
    settings = DnaSettings()
    model = DnaModel(settings, new_encoder(settings))
    for name, work in (("canonical TNF", canonical_tnf), ("embedding", model.embed)):
        began = time.process_time()
        work(sequences)
        print(f"{name}: {megabases / (time.process_time() - began):.1f} Mb a processor second")
    species = contigs // 200
    centres = unit_rows(rng.standard_normal((species, settings.width)).astype(np.float32))
    rows = centres[rng.integers(species, size=contigs)]
    rows = unit_rows(rows + 0.05 * rng.standard_normal(rows.shape).astype(np.float32))
    began, wall = time.process_time(), time.monotonic()
    bins = species_bins(rows, neighbour_threshold(rows))
    print(
        f"{contigs} contigs of {species} species: {bins.max() + 1} bins, "
        f"{time.process_time() - began:.1f} processor seconds, {time.monotonic() - wall:.1f} s"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory: {peak:.0f} MiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
