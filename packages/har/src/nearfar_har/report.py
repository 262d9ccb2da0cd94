"""The report of a training run, and of a comparison of methods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nearfar_har.figures import confusion_plot, distance_plot, embedding_plot
from nearfar_har.metrics import ACTIVITY_SCORES
from nearfar_har.model import HarModel
from nearfar_har.windows import Windows
from nearfar_kit import plots
from nearfar_kit.metrics import Record, parse_split
from nearfar_kit.report import Report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Cell, Table, summarise

__all__ = ["by_activity", "by_device", "by_share", "shares_plot", "training_pictures"]


def named(record: Record) -> str:
    """Method and how it was read out: one row of a table."""
    readout = parse_split(record.split).get("readout", "")
    if readout == "probe":
        return f"{record.method}, linear probe"
    if readout == "tuned" and not record.method.startswith("supervised"):
        return f"{record.method}, fine-tuned"
    return record.method


def percent(share: str) -> str:
    return f"{100 * float(share):g} %"


def _seed_means(records: Sequence[Record], *keys: str) -> dict[tuple[str, ...], list[float]]:
    """Per (row name, values of ``keys``): one mean a seed, over all else.

    The spread that a table shows is then that of repeating the whole protocol; the spread between
    held-out subjects is another question, and much larger.
    """
    values: dict[tuple[tuple[str, ...], int], list[float]] = defaultdict(list)
    for record in records:
        split = parse_split(record.split)
        values[(named(record), *(split.get(key, "") for key in keys)), record.seed].append(
            record.value
        )
    means: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for (key, _), own in values.items():
        means[key].append(summarise(own).mean)
    return means


def _columns(records: Sequence[Record], key: str) -> list[str]:
    found = dict.fromkeys(parse_split(record.split).get(key, "") for record in records)
    return list(found)


def by_share(records: Sequence[Record], caption: str) -> Table:
    """Macro F1 against the share of labels, mean over devices and folds."""
    shares = sorted(_columns(records, "labels"), key=float)
    means = _seed_means(records, "labels")
    rows: list[list[Cell | str]] = [
        [name, *(summarise(means.get((name, share), [])) for share in shares)]
        for name in dict.fromkeys(map(named, records))
    ]
    return Table(caption, ["method", *map(percent, shares)], rows)


def by_device(records: Sequence[Record], share: str, caption: str) -> Table:
    """Macro F1 of each device at one share of labels, mean over folds."""
    chosen = [
        record
        for record in records
        if record.metric == "macro_f1" and parse_split(record.split).get("labels", share) == share
    ]
    devices = _columns(chosen, "device")
    means = _seed_means(chosen, "device")
    rows: list[list[Cell | str]] = [
        [name, *(summarise(means.get((name, device), [])) for device in devices)]
        for name in dict.fromkeys(map(named, chosen))
    ]
    return Table(caption, ["method", *devices], rows)


def by_activity(records: Sequence[Record], caption: str) -> Table:
    """Each activity's scores, all devices together, and how many windows it has."""
    found: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in records:
        if record.metric in ACTIVITY_SCORES:
            found[parse_split(record.split)["activity"]][record.metric] = record
    rows = [
        [name, str(own["f1"].n), *(f"{own[metric].value:.3f}" for metric in ACTIVITY_SCORES)]
        for name, own in found.items()
    ]
    return Table(caption, ["activity", "windows", "F1", "precision", "recall"], rows)


def shares_plot(folder: Path, table: Table, dataset: str, emphasise: Sequence[str]) -> Path:
    """Draws the table that :func:`by_share` made, into ``folder``."""
    shares = [float(name.removesuffix(" %")) for name in table.columns[1:]]
    series = {
        str(row[0]): [cell for cell in row[1:] if isinstance(cell, Cell)] for row in table.rows
    }
    return plots.lines(
        folder / f"{dataset}_f1_by_labels.png", shares, series,
        title=f"{dataset}: subjects never seen", x_label="share of labelled windows",
        y_label="macro F1", log_x=True, ticks=table.columns[1:], emphasise=emphasise,
    )  # fmt: skip


def training_pictures(
    report: Report, run: RunFolder, model: HarModel, train: Windows, test: Windows, what: str
) -> None:
    """Confusion, embedding and device distances, as PNG files and in the report."""
    device = next((d for d in model.classifiers if d in test.devices), None)
    path = run.path / "confusion.png"
    confusion_plot(model, test, path, f"All devices together, {what}")
    report.figure(path, "Which activities are taken for which: rows are the truth.")
    if device is not None:
        path = run.path / "embedding.png"
        embedding_plot(model, test, device, path, f"Embeddings of the {device}, {what}")
        report.figure(path, "What the encoder learnt without labels, laid out by t-SNE.")
    if len(train.devices) > 1:
        path = run.path / "devices.png"
        distance_plot(model, train, path, "Distances between devices (MMD²)")
        report.figure(path, "Device selection: the nearer, the better a positive.")
