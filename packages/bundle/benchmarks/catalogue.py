"""Memory and time of completing bundles over a catalogue of a million items.

``python benchmarks/catalogue.py [items]``: made titles and bundles, an untrained model, 64
carts, the 20 best items of each.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
import torch
from scipy.sparse import random as random_rows

from nearfar_bundle.builder import Builder
from nearfar_bundle.catalogue import incidence
from nearfar_bundle.description import Description
from nearfar_bundle.evaluate import best_of
from nearfar_bundle.features import Block, company, unit_rows
from nearfar_bundle.model import Features, Model
from nearfar_bundle.settings import BundleSettings

WORDS, BUNDLES, CARTS = 50_000, 20_000, 64


def main(items: int) -> None:
    rng = np.random.default_rng(0)
    titles = unit_rows(random_rows(items, WORDS, 10 / WORDS, "csr", np.float32, rng))
    pairs = np.stack([np.repeat(np.arange(BUNDLES), 5), rng.integers(items, size=5 * BUNDLES)], 1)
    held = company(incidence(pairs, BUNDLES, items))
    blocks = [
        Block("title", "text", titles, tuple(map(str, range(WORDS)))),
        Block("bundles", "company", held, tuple(map(str, range(BUNDLES)))),
    ]
    degrees = torch.from_numpy(np.diff(held.indptr).astype(np.int64))
    settings = BundleSettings()
    features = Features([], [], 0, degrees)
    model = Model(settings, features, blocks)
    builder = Builder(
        settings, np.arange(items).astype(str), Description(), blocks, features, model
    )
    carts = np.stack([np.repeat(np.arange(CARTS), 3), rng.integers(items, size=3 * CARTS)], 1)
    began = time.monotonic()
    best, _ = best_of(builder, incidence(carts, CARTS, items), 20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{items} items, {CARTS} carts, {best.shape[1]} best: {time.monotonic() - began:.1f} s, "
          f"peak {peak:.2f} GiB")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
