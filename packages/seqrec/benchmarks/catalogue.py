#!/usr/bin/env python3
"""Training steps on a catalogue of a million items: their time, and the peak of memory.

    python catalogue.py [--items N] [--batch B] [--loss full|sampled] [--steps N]

Made sequences, prefix mode, one target a row: 256 logits a million items long would be a gigabyte,
and as much again for their gradient; the loss never has them.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from nearfar_seqrec.sequences import Sequences
from nearfar_seqrec.settings import SeqrecSettings
from nearfar_seqrec.split import leave_one_out
from nearfar_seqrec.train import Training


def peak() -> float:
    """GiB of resident memory at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--loss", choices=["full", "sampled"], default="full")
    parser.add_argument("--method", default="sasrec")
    parser.add_argument("--steps", type=int, default=3)
    given = parser.parse_args()
    users, length = 2 * given.batch, 12
    chance = np.random.default_rng(0)
    sequences = Sequences(
        np.arange(users).astype(np.str_),
        np.arange(given.items).astype(np.str_),
        chance.integers(1, given.items + 1, users * length),
        np.arange(users + 1) * length,
    )
    before = peak()
    settings = SeqrecSettings(
        method=given.method, train_mode="prefix", batch=given.batch, loss=given.loss
    )
    training = Training(leave_one_out(sequences), settings, seed=0)
    began = time.process_time()
    for _, batch in zip(range(given.steps), training.batches.epoch(0), strict=False):
        training.learn(batch)
    seconds = (time.process_time() - began) / given.steps
    print(
        f"{given.items} items, {len(batch)} rows, {given.method}, {given.loss} softmax: "
        f"{seconds:.1f} processor seconds a step, peak {peak():.2f} GiB ({before:.2f} before)"
    )


if __name__ == "__main__":
    main()
