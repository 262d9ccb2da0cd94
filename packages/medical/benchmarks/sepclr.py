"""SepCLR and what it is compared with on two made populations, whose factors are known.

    python sepclr.py digits --data ../shared/data/medical --out results/sepclr-digits
    python sepclr.py lesions --data ../shared/data/medical --out results/sepclr-lesions

``digits``: MNIST on CIFAR-10. ``lesions``: lesions of known size and place implanted in half of the
hippocampus volumes. Both are semi-synthetic. Writes ``metrics.json`` and ``table.md`` and prints
the table: linear probes on targets held out, mean and spread over seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nearfar
from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.launch import describe_device
from nearfar_kit.metrics import Metrics, Record, split_key, versions_of
from nearfar_kit.report import facts
from nearfar_kit.settings import load_settings, settings_hash
from nearfar_kit.table import Cell as Value
from nearfar_kit.table import Table, summarise
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
    "digits": {"view_size": (16, 16)},
    "lesions": {"dims": 3, "channels": 1, "flips": (), "crop_scale": (0.6, 1.0), "batch": 64,
                "steps": 300, "common_dims": 16, "salient_dims": 16},
}  # fmt: skip
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
    made = implanted_lesions(volumes, radius=(1.5, 3.0))
    whole = Pairs(made.images, made.is_target, {**made.attributes, **known})
    return whole.split(0.25, seed=0)


def measured(
    toy: str, method: str, settings: SepCLRSettings, train: Pairs, test: Pairs, seed: int
) -> list[Cell]:
    run = Separation(method_settings(method, settings), train, seed=seed)
    run.run()
    salient, common = ATTRIBUTES[toy]
    return probe_spaces(
        train, represent(run.encoders, train), test, represent(run.encoders, test),
        salient=salient, common=common,
    )  # fmt: skip


def records_of(toy: str, method: str, seed: int, cells: Sequence[Cell]) -> list[Record]:
    made = [
        Record(
            toy, split_key(space=c.space, attribute=c.attribute, ideal=f"{c.ideal:.4f}"), method,
            seed, c.metric, c.value, c.rows,
        )
        for c in cells
    ]  # fmt: skip
    return [*made, Record(toy, "space=all", method, seed, "delta_tot", delta_tot(cells), len(made))]


def table_of(toy: str, records: Sequence[Record], seeds: int) -> Table:
    """A row a method, a column a space and attribute; the last row is a perfect separation."""
    splits = list(dict.fromkeys(r.split for r in records))
    names = []
    for split in splits:
        parts = dict(p.split("=") for p in split.split(","))
        metric = next(r.metric for r in records if r.split == split)
        names.append(
            "distance to ideal"
            if metric == "delta_tot"
            else f"{parts['space']}: {parts['attribute']}" + (" (mae)" if metric == "mae" else "")
        )
    rows: list[list[Value | str]] = []
    for method in dict.fromkeys(r.method for r in records):
        own = [r for r in records if r.method == method]
        # As text: the best of a column is no maximum.
        rows.append(
            [method, *(str(summarise(r.value for r in own if r.split == s)) for s in splits)]
        )
    ideals = [dict(p.split("=") for p in s.split(",")).get("ideal", "0") for s in splits]
    rows.append(["ideal", *(f"{float(i):.3f}" for i in ideals)])
    caption = f"{CAPTIONS[toy]}, on targets held out; mean ± standard deviation over {seeds} seeds."
    return Table(caption, ["method", *names], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("toy", choices=list(ATTRIBUTES))
    parser.add_argument("--data", type=Path, required=True, help="folder of the medical data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    settings = load_settings(
        SepCLRSettings, overrides=options.overrides, base=PRESETS["cpu"] | SETTINGS[options.toy]
    )
    train, test = populations(options.toy, options.data)
    metrics = Metrics(
        "medical", "bench", versions_of("nearfar-medical", "monai", "scikit-learn"),
        describe_device("cpu"), nearfar.loss_path("cpu"), settings_hash(settings),
    )  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    for method in options.methods:
        for seed in range(options.seeds):
            started = time.perf_counter()
            cells = measured(options.toy, method, settings, train, test, seed)
            metrics.add(records_of(options.toy, method, seed, cells))
            told = ", ".join(f"{c.space} {c.attribute} {c.value:.3f}" for c in cells)
            seconds = time.perf_counter() - started
            print(f"{method}, seed {seed}, {seconds:.0f} s: {told}", file=sys.stderr, flush=True)
            metrics.write(options.out / "metrics.json")
    table = table_of(options.toy, metrics.records, options.seeds)
    made = "; ".join(f"{what}: {found}" for what, found in facts(metrics).items())
    write_atomic(options.out / "table.md", f"{table.markdown()}\n{made}\n")
    print(table.markdown())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
