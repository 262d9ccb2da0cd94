"""SepCLR and what it is compared with on two made populations, whose factors are known.

    python sepclr.py digits --data ../shared/data/medical --out results/sepclr-digits
    python sepclr.py lesions --data ../shared/data/medical --out results/sepclr-lesions

``digits``: MNIST on CIFAR-10. ``lesions``: lesions of known size and place implanted in half of
four copies of each hippocampus volume. Both are semi-synthetic. Writes ``metrics.json`` and
``table.md`` and prints the table: linear probes on targets held out, mean and spread over seeds.
Begun again, it does what is not done yet.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import avg_pool3d

import nearfar
from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.launch import describe_device
from nearfar_kit.metrics import Metrics, Record, parse_split, split_key, versions_of
from nearfar_kit.report import facts
from nearfar_kit.settings import load_settings, settings_hash
from nearfar_kit.table import Cell as Value
from nearfar_kit.table import Table, spread_over, summarise
from nearfar_medical.sepclr.baselines import METHODS, method_settings
from nearfar_medical.sepclr.pairs import Pairs
from nearfar_medical.sepclr.probes import Cell, delta_tot, probe_spaces, represent
from nearfar_medical.sepclr.separate import PRESETS
from nearfar_medical.sepclr.settings import SepCLRSettings
from nearfar_medical.sepclr.toy import digits_on_photographs, implanted_lesions, small_hippocampi
from nearfar_medical.sepclr.train import Separation

CAPTIONS = {
    "digits": "MNIST on CIFAR-10 (semi-synthetic): balanced accuracy of linear probes",
    "lesions": "lesions implanted in hippocampus volumes (semi-synthetic): linear probes, mean "
    "absolute error (mae) of measures and balanced accuracy of halves",
}
SETTINGS: dict[str, dict[str, object]] = {
    # Pairs of background rows, all at s' = 0, are a quarter of all and never part: they hold the
    # salient uniformity up, and at the paper's weight of 2 its pull on targets is small so early.
    # A digit turned round is another digit.
    "digits": {"view_size": (16, 16), "crop_scale": (0.35, 1.0), "flips": (), "steps": 1300,
               "learning_rate": 2e-2, "joint": 100, "salient": 160, "salient_uniformity": 20,
               "infoless": 10_000},
    "lesions": {"dims": 3, "channels": 1, "flips": (), "crop_scale": (0.6, 1.0), "batch": 64,
                "steps": 200, "common_dims": 16, "salient_dims": 16, "widths": (16, 32, 64, 64),
                "stem_stride": 2, "learning_rate": 5e-3, "joint": 100},
}  # fmt: skip
UNTRAINED = "untrained"  # what the same encoders tell as they are drawn
ROWS = (*METHODS, UNTRAINED)
COPIES = 4  # of a hippocampus: more lesions to probe, and the same volumes with and without one
ATTRIBUTES = {
    "digits": (["digit"], ["object"]),
    "lesions": (["radius", "contrast", "half"], ["volume", "anterior"]),
}


def populations(toy: str, data: Path) -> tuple[Pairs, Pairs]:
    """Images to learn from, and images held out."""
    if toy == "digits":
        train, test = (
            digits_on_photographs(data / "mnist", data / "cifar10_subset", split)
            for split in ("train", "test")
        )
        return train, test
    volumes, known = small_hippocampi(data / "msd_hippocampus")
    made = implanted_lesions(volumes.repeat(COPIES, 1, 1, 1, 1), radius=(2.0, 5.0))
    known = {name: np.tile(values, COPIES) for name, values in known.items()}
    whole = Pairs(
        avg_pool3d(made.images, 2), made.is_target, {**made.attributes, **known},
        subjects=tuple(map(str, range(len(volumes)))) * COPIES,
    )  # fmt: skip
    return whole.split(0.25, seed=0)


def measured(
    toy: str, method: str, settings: SepCLRSettings, train: Pairs, test: Pairs, seed: int
) -> tuple[list[Cell], float]:
    """What the probes read, and the seconds of training."""
    untrained = method == UNTRAINED
    run = Separation(settings if untrained else method_settings(method, settings), train, seed=seed)
    started = time.perf_counter()
    if not untrained:
        run.run()
    seconds = time.perf_counter() - started
    salient, common = ATTRIBUTES[toy]
    cells = probe_spaces(
        train, represent(run.encoders, train), test, represent(run.encoders, test),
        salient=salient, common=common,
    )  # fmt: skip
    return cells, seconds


def records_of(
    toy: str, method: str, seed: int, cells: Sequence[Cell], seconds: float
) -> list[Record]:
    made = [
        Record(
            toy, split_key(space=c.space, attribute=c.attribute, ideal=f"{c.ideal:.4f}"), method,
            seed, c.metric, c.value, c.rows,
        )
        for c in cells
    ]  # fmt: skip
    distance = Record(toy, "space=all", method, seed, "delta_tot", delta_tot(cells), len(made))
    return [*made, distance, Record(toy, "space=none", method, seed, "seconds", seconds, 1)]


def table_of(toy: str, records: Sequence[Record], seeds: int, steps: int) -> Table:
    """A row a method, a column a space and attribute; the last row is a perfect separation."""
    columns = list(dict.fromkeys((r.split, r.metric) for r in records))
    titles = {"delta_tot": "distance to ideal", "seconds": "training (s)"}
    names, ideals = [], []
    for split, metric in columns:
        parts = parse_split(split)
        told = f"{parts['space']}: {parts.get('attribute')}" + " (mae)" * (metric == "mae")
        names.append(titles.get(metric, told))
        ideals.append("-" if metric == "seconds" else f"{float(parts.get('ideal', 0)):.3f}")
    rows: list[list[Value | str]] = []
    for method in (m for m in ROWS if any(r.method == m for r in records)):
        own = [r for r in records if r.method == method]
        cells = (summarise(r.value for r in own if r.split == split) for split, _ in columns)
        # As text: the best of a column is no maximum.
        rows.append([method, *map(str, cells)])
    rows.append(["ideal", *ideals])
    caption = (
        f"{CAPTIONS[toy]}, on targets held out; {spread_over(seeds)}; "
        f"{steps} steps on {torch.get_num_threads()} thread(s)."
    )
    return Table(caption, ["method", *names], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("toy", choices=list(ATTRIBUTES))
    parser.add_argument("--data", type=Path, required=True, help="folder of the medical data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=ROWS, choices=ROWS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    settings = load_settings(
        SepCLRSettings, overrides=options.overrides, base=PRESETS["cpu"] | SETTINGS[options.toy]
    )
    train, test = populations(options.toy, options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "metrics.json"
    metrics = Metrics(
        "medical", "bench", versions_of("nearfar-medical", "monai", "scikit-learn"),
        describe_device("cpu"), nearfar.loss_path("cpu"), settings_hash(settings),
    )  # fmt: skip
    if file.exists():
        before = Metrics.read(file)
        if before.settings_hash != metrics.settings_hash:
            raise UserError(f"{file}: made with other settings; expected the same or another --out")
        metrics.add(before.records)
        metrics.began -= before.seconds
    done = {(r.method, r.seed) for r in metrics.records}
    for seed in range(options.seeds):
        for method in options.methods:
            if (method, seed) in done:
                continue
            cells, seconds = measured(options.toy, method, settings, train, test, seed)
            metrics.add(records_of(options.toy, method, seed, cells, seconds))
            told = ", ".join(f"{c.space} {c.attribute} {c.value:.3f}" for c in cells)
            print(f"{method}, seed {seed}, {seconds:.0f} s: {told}", file=sys.stderr, flush=True)
            metrics.write(file)
    steps = settings.steps_for(len(train))
    table = table_of(options.toy, metrics.records, options.seeds, steps)
    made = "; ".join(f"{what}: {found}" for what, found in facts(metrics).items())
    write_atomic(options.out / "table.md", f"{table.markdown()}\n{made}\n")
    print(table.markdown())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
