"""The comparison: measurements as they are, an untrained encoder, and a trained one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Record
from nearfar_kit.plots import bars
from nearfar_kit.progress import Progress
from nearfar_kit.report import Report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table, spread_over, summarise
from nearfar_newdomain.evaluate import scores
from nearfar_newdomain.measured import Measured
from nearfar_newdomain.settings import NewDomainSettings
from nearfar_newdomain.train import train

__all__ = ["METHODS", "compare", "comparison"]

METHODS = ("as measured", "untrained", "nearfar")


def compare(
    data: Measured,
    dataset: str,
    settings: NewDomainSettings,
    methods: Sequence[str] = METHODS,
    seeds: int = 3,
    *,
    quiet: bool = True,
) -> list[Record]:
    """Every method on things never trained on, half of them, drawn anew for each seed."""
    things = np.unique(data.thing)
    if len(things) < 4:
        raise UserError(f"{dataset}: holds {len(things)} things; expected four or more")
    found = []
    with Progress("comparing", seeds * len(methods), quiet=quiet) as bar:
        for seed in range(seeds):
            held_out = np.random.default_rng(seed).permutation(things)[: len(things) // 2]
            rest = _of(data, ~np.isin(data.thing, held_out))
            test = _of(data, np.isin(data.thing, held_out))
            for method in methods:
                rows = torch.from_numpy(test.values)
                if method != "as measured":
                    steps = 0 if method == "untrained" else settings.steps
                    encoder = train(rest, settings.model_copy(update={"steps": steps}), seed)
                    rows = encoder(rows).detach()
                found += scores(rows, test, dataset, method, seed)
                bar.advance(last=method)
    return found


def comparison(run: RunFolder, records: list[Record], report: Report) -> Table:
    """The table, in ``table.md``, the report and a picture."""
    methods = list(dict.fromkeys(record.method for record in records))
    cells = [summarise(r.value for r in records if r.method == m) for m in methods]
    dataset, seeds = records[0].dataset, len({record.seed for record in records})
    caption = (
        f"{dataset}: things not trained on, whose nearest measurement of another thing has their "
        f"label; {spread_over(seeds)}."
    )
    table = Table(caption, ["method", "accuracy"],
                  [[m, cell] for m, cell in zip(methods, cells, strict=True)])  # fmt: skip
    (run.path / "table.md").write_text(table.markdown(), encoding="utf-8")
    report.table(table)
    picture = bars(run.path / "accuracy.png", [dataset],
                   {m: [cell] for m, cell in zip(methods, cells, strict=True)},
                   title="Told by the nearest", y_label="accuracy")  # fmt: skip
    report.figure(picture, "Accuracy by method; whiskers are one standard deviation.")
    return table


def _of(data: Measured, chosen: np.ndarray) -> Measured:
    return Measured(data.values[chosen], data.thing[chosen], data.label[chosen], data.columns)
