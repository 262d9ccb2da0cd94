"""The demo: simulated genomes, species never seen. Needs no data and no download."""

from __future__ import annotations

import numpy as np

from nearfar_dna.baselines import BASELINES, TARGET
from nearfar_dna.evaluate import cluster_scores, few_shot_f1
from nearfar_dna.fragments import draw_fragments
from nearfar_dna.report import embedding_picture
from nearfar_dna.settings import DnaSettings
from nearfar_dna.simulate import simulate
from nearfar_dna.train import train
from nearfar_kit.metrics import Metrics, Record
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.settings import load_settings
from nearfar_kit.table import Cell, Table, spread_over, summarise

__all__ = ["DEMO", "run_demo"]

DEMO = load_settings(DnaSettings, overrides=["steps=150", "fragments_a_genome=40", "width=32"])
REPEATS = 2  # seeds


def run_demo(
    run: RunFolder, metrics: Metrics, settings: DnaSettings, seed: int, quiet: bool
) -> Table:
    """Trains, scores on unseen species, draws and reports; gives the table of scores."""
    genomes = simulate(seed=seed)
    unseen = genomes.names[1::3]
    rest = genomes.of_species(set(genomes.names) - set(unseen))
    test = genomes.of_species(unseen)
    found: dict[str, list[dict[str, float]]] = {}
    shown = None
    for repeat in range(REPEATS):
        model = train(rest, settings, seed + repeat, run=run if repeat == 0 else None, quiet=quiet)
        fragments, labels = draw_fragments(test, 40, 5000, seed + repeat)
        rows = {name: BASELINES[name](fragments, seed) for name in ("TNF, canonical", TARGET)}
        rows["nearfar"] = model.embed(fragments)
        shown = shown or (rows, labels)
        for method, own in rows.items():
            scores = cluster_scores(own, labels, seed + repeat) | {
                f"f1@{shots}": few_shot_f1(own, labels, shots, seed + repeat) for shots in (1, 2, 5)
            }
            found.setdefault(method, []).append(scores)
            metrics.add(
                Record("simulated", "unseen species", method, seed + repeat, name, value,
                       len(labels))
                for name, value in scores.items()
            )  # fmt: skip
    names = list(found["nearfar"][0])
    body: list[list[Cell | str]] = [
        [method, *(summarise([one[name] for one in scores]) for name in names)]
        for method, scores in found.items()
    ]
    table = Table(
        f"Simulated genomes, {len(unseen)} species not seen in training, fragments of 5 kb; "
        f"{spread_over(REPEATS)}.", ["method", *names], body,
    )  # fmt: skip
    report = Report(
        "Species of DNA fragments",
        "An embedding learnt by contrast on simulated genomes, against composition. The simulator "
        "is stated in the package; its figures show that the method works, not how well it does "
        "on real genomes.",
    )
    report.section(
        "Species never seen",
        "Two fragments of one genome are pulled together, fragments of other species pushed apart. "
        "What was learnt is how genes of any genome differ, and so what to look past.",
    )
    report.table(table)
    assert shown is not None
    for method, name in ((TARGET, "tnf"), ("nearfar", "nearfar")):
        own = np.asarray(shown[0][method], np.float32)
        path = embedding_picture(
            run.path / f"{name}.png", own, shown[1], test.names, f"{method}: species never seen"
        )
        report.figure(path, f"t-SNE of fragments, {method}.")
    end_report(report, run, metrics)
    return table
