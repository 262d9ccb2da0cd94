"""VAMB as its authors publish it, a peer that learns from composition, where it is installed.

It asks for an older torch than nearfar does and runs with the newer one: ``pip install --no-deps
vamb==5.0.4 vambcore pycoverm pyhmmer pyrodigal dadaptation loguru networkx``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
import torch

from nearfar_dna.alphabet import Codes, decode
from nearfar_dna.composition import Floats

__all__ = ["PEERS"]

FEWEST_BASES = 250  # that VAMB takes


def vamb(sequences: Sequence[Codes], seed: int = 0) -> Floats:
    """Latent rows [N, 32] of VAMB's autoencoder, fitted on the sequences given, all equally deep.

    Nissen et al. 2021 (doi 10.1038/s41587-020-00777-4), version 5, with its own settings.
    """
    from vamb.encode import VAE, make_dataloader
    from vamb.parsecontigs import Composition

    fasta = "".join(f">{n}\n{decode(codes)}\n" for n, codes in enumerate(sequences))
    found = Composition.from_file(io.BytesIO(fasta.encode()), None, FEWEST_BASES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        depth = np.ones((len(sequences), 1), np.float32)
        data = make_dataloader(depth, found.matrix, found.metadata.lengths)
        model = VAE(1, seed=seed)
        model.trainmodel(data)
        rows: Floats = model.encode(data)
    return rows


PEERS: dict[str, Callable[[Sequence[Codes], int], Floats]] = (
    {"VAMB": vamb} if find_spec("vamb") else {}
)
