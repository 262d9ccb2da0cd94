"""The report of a test: scores a case, and slices with the truth and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar_kit.atomic import replacing
from nearfar_kit.metrics import Metrics, Record, split_key
from nearfar_kit.progress import Progress
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table
from nearfar_medical.cases import Case
from nearfar_medical.codes import codes_of
from nearfar_medical.predict import predict_case, score_labelled
from nearfar_medical.scores import Score, mean_scores, write_scores
from nearfar_medical.seen import Overlap, Seen, overlap
from nearfar_medical.split import Split
from nearfar_medical.volume import Volume, read_mask
from nearfar_medical.weights import Model

__all__ = ["overlay", "write_test_report", "write_untested_report"]

NAMED = 10  # cases of each part
SHOWN = 3  # cases: the best, the middle one and the worst
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def write_test_report(
    run: RunFolder,
    metrics: Metrics,
    model: Model,
    cases: Sequence[Case],
    dataset: str,
    seed: int,
    *,
    split: Split | None = None,
    quiet: bool = True,
) -> Table:
    """Segments labelled cases and writes scores, pictures, metrics and the page; gives a table.

    Args:
        split: of the training, whose held-out subjects they are; what the model had seen before
            that, its names tell.
    """
    held_out = split is not None
    among = overlap(model.seen, cases)
    rows: list[Score] = []
    with Progress("test", len(cases), quiet=quiet) as bar:
        for case in cases:
            rows += score_labelled(model, case)
            bar.advance(last=case.name)
    write_scores(run.path, rows)
    means = mean_scores(rows)
    for structure, cells in means.items():
        for metric, cell in cells.items():
            metrics.add([
                Record(dataset, split_key(structure=structure), "train", seed, metric, cell.mean,
                       cell.n)
            ])  # fmt: skip
    table = Table(
        f"{len(cases)} volumes{' of subjects held out' if held_out else ''}{among.in_short()}: "
        "mean ± standard deviation over volumes.",
        ["structure", "Dice", "n", "HD95, mm", "n"],
        [
            [name, *(each for m in ("dice", "hd95") for each in (cells[m], str(cells[m].n)))]
            for name, cells in means.items()
        ],
    )
    report = Report(
        "Segmentation of volumes never seen"
        if held_out and among.note() is None
        else "Segmentation of labelled volumes",
        "Not a medical device: for research alone.",
    )
    report.section(
        "How well structures are found", *_taught(model.seen, split), *_told(among, held_out)
    )
    report.table(table)
    for case in _shown(rows, cases):
        found, volume, grid = predict_case(model, case)
        assert case.label is not None
        truth = read_mask(case.label, grid, model.classes)
        path = run.path / f"overlay_{case.name}.png"
        own = {row.structure: row.dice for row in rows if row.case == case.name}
        each = ", ".join(f"{name} {dice:.3f}" for name, dice in own.items())
        overlay(
            path, volume, truth, found, model.classes, model.settings.slice_axis,
            title=f"{case.name}: mean Dice {np.nanmean(list(own.values())):.3f}",
        )  # fmt: skip
        told = "image, truth, and what was found, in slices that hold some of it"
        report.figure(path, f"{case.name}: {told}. Dice: {each}.")
    end_report(report, run, metrics)
    return table


def write_untested_report(
    run: RunFolder, metrics: Metrics, model: Model, split: Split, best: float
) -> None:
    """The page of a training of which no volume was held out.

    Args:
        best: mean Dice on the volumes that chose the weights.
    """
    chosen = (
        f" Mean Dice on the volumes that chose the weights is {best:.3f}, which is above what new "
        "ones will give."
    ) if split.validation else ""  # fmt: skip
    report = Report(
        "Segmentation, trained and not tested", "Not a medical device: for research alone."
    )
    report.section("How it was taught", *_taught(model.seen, split), f"Nothing was tested.{chosen}")
    end_report(report, run, metrics)


def _taught(seen: Seen | None, split: Split | None) -> list[str]:
    """By which volumes the model was taught; a model keeps no names, so later by how many alone."""
    if seen is None:
        return []
    learnt, chose = "", ""
    if split is not None:
        learnt = _named(split.training_labelled, len(seen.labelled))
        chose = _named(split.validation, len(seen.validation))
    return [
        f"Learned from {len(seen.labelled)} labelled volumes{learnt}; {len(seen.validation)} more "
        f"chose the weights{chose}, and {len(seen.images)} were looked at in pre-training."
    ]


def _named(cases: Sequence[Case], count: int) -> str:
    """Their names, where they are all; weights that were begun with have seen others."""
    if len(cases) != count or not cases:
        return ""
    more = f" and {count - NAMED} more" if count > NAMED else ""
    return f" ({', '.join(case.name for case in cases[:NAMED])}{more})"


def _told(among: Overlap, held_out: bool) -> list[str]:
    """Which of the volumes were trained on, as far as that is known."""
    note = among.note()
    if note is not None:
        return [f"{note[0].upper()}{note[1:]}."]
    if held_out:
        return []
    return [f"None of these {among.total} volumes was trained on, as far as names tell."]


def _shown(rows: Sequence[Score], cases: Sequence[Case]) -> list[Case]:
    of_case = {
        case.name: float(np.nanmean([r.dice for r in rows if r.case == case.name] or [np.nan]))
        for case in cases
    }
    order = sorted(cases, key=lambda case: -of_case[case.name])
    picks = sorted({0, len(order) // 2, len(order) - 1})
    return [order[n] for n in picks][:SHOWN]


def overlay(
    path: Path,
    volume: Volume,
    truth: NDArray[np.integer],
    found: NDArray[np.integer],
    classes: Mapping[int, str],
    axis: int | None,
    *,
    title: str,
    slices: int = 5,
) -> Path:
    """A PNG of some slices: the image, and on it the truth's and the found classes' outlines.

    Small structures are shown from near: the window is about twice as large as what is outlined.

    Args:
        truth, found: [X, Y, Z] of codes in RAS. classes: code -> name, 0 the background.
        axis: across which slices are taken; None: the first.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    codes = codes_of(classes)[1:]
    image, a, b = (np.moveaxis(v, axis or 0, 0) for v in (volume.image[0], truth, found))
    some = np.flatnonzero((a > 0).any((1, 2)) | (b > 0).any((1, 2)))
    first, last = (some[0], some[-1]) if len(some) else (0, len(image) - 1)
    at = np.unique(np.linspace(first, last, slices + 2)[1:-1].round().astype(int))
    low, high = np.percentile(image, [1, 99])
    outlined: NDArray[np.bool_] = (a > 0) | (b > 0)
    window = tuple(_window(np.asarray(outlined.any((0, 2 - n)))) for n in (0, 1))
    height, width = np.delete(np.array(volume.spacing), axis or 0)[::-1]
    figure = Figure(figsize=(2.1 * len(at), 6.6), layout="constrained", dpi=130)
    axes = figure.subplots(3, len(at), squeeze=False)
    for column, n in enumerate(at):
        for row, mask in enumerate((None, a, b)):
            cell = axes[row, column]
            # Rows of a picture run down: superior (or anterior) is shown at the top.
            cell.imshow(image[n][window].T, cmap="gray", vmin=low, vmax=high, origin="lower",
                        aspect=height / width)  # fmt: skip
            for number, code in enumerate(codes):
                if mask is None:
                    continue
                there = (mask[n] == code)[window]
                if there.any():
                    cell.contour(
                        there.T.astype(float), levels=[0.5], linewidths=1.2,
                        colors=[COLOURS[number % len(COLOURS)]],
                    )  # fmt: skip
            cell.set_xticks([])
            cell.set_yticks([])
            if row == 0:
                cell.set_title(f"slice {n}", fontsize=9)
    for row, name in enumerate(("image", "truth", "found")):
        axes[row, 0].set_ylabel(name)
    keys = [Line2D([], [], color=COLOURS[n % len(COLOURS)], label=classes[code])
            for n, code in enumerate(codes)]  # fmt: skip
    figure.legend(handles=keys, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    with replacing(path) as beside:
        figure.savefig(beside, format="png")
    return path


def _window(there: NDArray[np.bool_]) -> slice:
    """Along an axis, about twice what is there, a quarter of the axis at the least."""
    size, at = len(there), np.flatnonzero(there)
    if not len(at):
        return slice(0, size)
    side = min(size, max(2 * (int(at[-1]) - int(at[0]) + 1), size // 4))
    first = min(max(0, (int(at[0]) + int(at[-1]) + 1 - side) // 2), size - side)
    return slice(first, first + side)
