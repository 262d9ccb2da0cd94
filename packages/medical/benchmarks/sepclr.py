"""SepCLR on MNIST on CIFAR-10 (semi-synthetic), at a size for one CPU thread.

    python sepclr_toy.py --data ../shared/data/medical --steps 600 --seeds 0 1 --out results

Writes ``sepclr_toy.md`` and ``sepclr_toy.json`` to ``--out`` and prints the table: accuracy of
linear probes on test targets, mean and spread over seeds.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_medical.sepclr.baselines import METHODS, method_settings
from nearfar_medical.sepclr.pairs import Pairs
from nearfar_medical.sepclr.probes import Cell, delta_tot, probe_spaces, represent
from nearfar_medical.sepclr.settings import SepCLRSettings
from nearfar_medical.sepclr.toy import digits_on_photographs
from nearfar_medical.sepclr.train import Separation

# What differs from the paper: a narrow network of one block a stage, views of 16 x 16, small
# batches, and for so few steps a higher learning rate that decays.
CPU = {
    "widths": (8, 16, 32, 64),
    "blocks": (1, 1, 1, 1),
    "view_size": (16, 16),
    "batch": 128,
    "learning_rate": 2e-3,
    "schedule": "cosine",
}
COLUMNS = (("salient", "digit"), ("salient", "object"), ("common", "digit"), ("common", "object"))
ROWS = [name for name in METHODS if name != "no s' in uniformity"]


def measured(
    method: str, settings: SepCLRSettings, train: Pairs, test: Pairs, seed: int
) -> tuple[list[Cell], float, dict[str, float]]:
    """Cells, seconds and last terms of one run."""
    started = time.perf_counter()
    run = Separation(method_settings(method, settings), train, seed=seed)
    run.run()
    seconds = time.perf_counter() - started
    cells = probe_spaces(
        train, represent(run.encoders, train), test, represent(run.encoders, test),
        salient=["digit"], common=["object"], metric="accuracy",
    )  # fmt: skip
    return cells, seconds, run.terms


def as_row(method: str, runs: Sequence[Sequence[Cell]]) -> str:
    values = np.array([[_value(cells, *column) for column in COLUMNS] for cells in runs])
    total = np.array([delta_tot(cells) for cells in runs])
    shown = [f"{v.mean():.3f} ± {v.std():.3f}" for v in (*values.T, total)]
    return f"| {method} | {' | '.join(shown)} |"


def _value(cells: Sequence[Cell], space: str, attribute: str) -> float:
    return next(c.value for c in cells if (c.space, c.attribute) == (space, attribute))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of mnist, cifar10_subset")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", default=ROWS, choices=list(METHODS))
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_settings(
        SepCLRSettings, overrides=options.overrides, base=CPU | {"steps": options.steps}
    )
    train, test = (
        digits_on_photographs(options.data / "mnist", options.data / "cifar10_subset", split)
        for split in ("train", "test")
    )
    header = ["method", *(f"{space} → {attribute}" for space, attribute in COLUMNS), "delta_tot"]
    table = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    records = []
    for method in options.methods:
        runs = []
        for seed in options.seeds:
            cells, seconds, terms = measured(method, settings, train, test, seed)
            runs.append(cells)
            logged = {name: round(value, 4) for name, value in terms.items()}
            print(f"{method}, seed {seed}: {seconds:.0f} s, last terms {logged}", file=sys.stderr)
            records += [
                {
                    "dataset": "mnist-on-cifar10", "split": "test", "method": method, "seed": seed,
                    "metric": f"{c.space} -> {c.attribute} {c.metric}", "value": c.value,
                    "ideal": c.ideal, "n": c.rows, "seconds": seconds,
                }
                for c in cells
            ]  # fmt: skip
        table.append(as_row(method, runs))
        print(table[-1], file=sys.stderr, flush=True)
    ideal = {(c.space, c.attribute): c.ideal for c in cells}  # the same for all methods
    shown = [f"{ideal[column]:.3f}" for column in COLUMNS]
    table.append(f"| ideal | {' | '.join(shown)} | 0 |")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "sepclr_toy.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    content = {
        "settings": settings.model_dump(mode="json"),
        "machine": f"{platform.machine()}, one thread, torch {torch.__version__}",
        "records": records,
    }
    (options.out / "sepclr_toy.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    print("\n".join(table))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
