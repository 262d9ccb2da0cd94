"""The house's plots: each draws one PNG, in one style, with colours that the colour-blind tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar_kit.atomic import replacing
from nearfar_kit.table import Cell

__all__ = ["bars", "confusion_matrix", "heatmap", "lines", "scatter_by_class"]

# Okabe and Ito's palette, its yellow left out: too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555", "#8C564B")
LONGEST = 80  # letters of a name
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.dpi": 130,
}


def _plain(text: str) -> str:
    """A name as it is written: of strangers' dollars matplotlib would make formulas, or fail."""
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return text.replace("$", r"\$")


@contextmanager
def _drawing(path: Path, width: float, height: float) -> Iterator[Any]:
    """Axes of ``width`` x ``height`` inches to draw on; they become the PNG ``path``."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):  # the caller's own style stays as it is
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.subplots()
        with replacing(path) as beside:
            # The layout makes no room for a title that is wider than the axes.
            figure.savefig(beside, format="png", bbox_inches="tight")


def lines(
    path: Path,
    x: Sequence[float],
    series: Mapping[str, Sequence[Cell]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    ticks: Sequence[str] | None = None,
    emphasise: Sequence[str] = (),
    chosen: tuple[float, str] | None = None,
) -> Path:
    """A line with its spread (one standard deviation) a series; those emphasised are heavier.

    Args:
        chosen: a place on the x axis to mark, and what it is called.
    """
    # No two of the emphasised ones have one colour.
    order = sorted(series, key=lambda name: name not in emphasise)
    with _drawing(path, 7.6, 4.2) as axes:
        for name, cells in series.items():
            heavy, number = not emphasise or name in emphasise, order.index(name)
            colour = COLOURS[number % len(COLOURS)]
            mean = np.array([cell.mean for cell in cells])
            spread = np.array([cell.spread for cell in cells])
            style = "-" if number < len(COLOURS) else "--"
            axes.plot(
                x, mean, style, marker="o", markersize=4, color=colour, label=_plain(name),
                linewidth=2.4 if heavy else 1.3, zorder=3 if heavy else 2,
            )  # fmt: skip
            if heavy:
                axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.13, lw=0)
        if chosen is not None:
            axes.axvline(chosen[0], color="#333333", ls=":", lw=1.6, label=_plain(chosen[1]))
        if log_x:
            axes.set_xscale("log")
        if ticks is not None:
            axes.set_xticks(x, ticks)
            axes.minorticks_off()
        elif not log_x and all(float(value).is_integer() for value in x):
            axes.xaxis.get_major_locator().set_params(integer=True)  # no epoch 1.5
        if log_y:
            axes.set_yscale("log")
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return path


def bars(
    path: Path,
    groups: Sequence[str],
    series: Mapping[str, Sequence[Cell]],
    *,
    title: str,
    y_label: str,
) -> Path:
    """Bars with whiskers of one standard deviation, a cluster a group."""
    with _drawing(path, max(6.0, 1.1 + 0.32 * len(groups) * len(series)), 3.8) as axes:
        width = 0.8 / len(series)
        at = np.arange(len(groups))
        for number, (name, cells) in enumerate(series.items()):
            axes.bar(
                at + (number - (len(series) - 1) / 2) * width,
                [cell.mean for cell in cells],
                width * 0.92,
                yerr=[cell.spread for cell in cells],
                error_kw={"elinewidth": 1, "ecolor": "#333333"},
                color=COLOURS[number % len(COLOURS)],
                # More bars than colours: hatched ones are told from plain ones.
                hatch="///" * (number // len(COLOURS)),
                edgecolor="white",
                linewidth=0,
                label=_plain(name),
            )
        axes.grid(axis="x", visible=False)
        axes.set_xticks(at, [_plain(name) for name in groups])
        axes.set(title=title, ylabel=y_label)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return path


def _shaded(
    path: Path,
    values: NDArray[Any],
    rows: Sequence[str],
    columns: Sequence[str],
    texts: NDArray[Any],
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> Path:
    font = 9 if max(len(rows), len(columns)) < 9 else 7
    with _drawing(path, 3.2 + 0.42 * len(columns), 2.4 + 0.36 * len(rows)) as axes:
        axes.grid(visible=False)
        top = float(np.nanmax(values)) or 1.0
        axes.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto")
        axes.set_xticks(
            range(len(columns)), [_plain(name) for name in columns], rotation=40, ha="right",
            rotation_mode="anchor",
        )  # fmt: skip
        axes.set_yticks(range(len(rows)), [_plain(name) for name in rows])
        for (i, j), text in np.ndenumerate(texts):
            colour = "white" if values[i, j] > 0.6 * top else "#222222"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=font)
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return path


def confusion_matrix(path: Path, counts: NDArray[Any], names: Sequence[str], *, title: str) -> Path:
    """Counts [true, predicted] as percentages of each true class."""
    totals = counts.sum(1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    texts = np.array([[f"{v:.0f}" if v >= 0.5 else "" for v in row] for row in shares])
    return _shaded(
        path, shares, names, names, texts,
        title=title, x_label="predicted (% of the true class)", y_label="true",
    )  # fmt: skip


def heatmap(path: Path, values: NDArray[Any], names: Sequence[str], *, title: str) -> Path:
    """A square table of numbers >= 0, such as distances between devices; NaN stays blank."""
    texts = np.array([["" if np.isnan(v) else f"{v:.2f}" for v in row] for row in values])
    return _shaded(path, values, names, names, texts, title=title, x_label="", y_label="")


def scatter_by_class(
    path: Path, points: NDArray[Any], labels: NDArray[Any], names: Sequence[str], *, title: str
) -> Path:
    """Points [n, 2] by class; colour and marker together tell more than eight classes apart."""
    with _drawing(path, 7.4, 4.8) as axes:
        markers = "o^sDvP"
        for number, name in enumerate(names):
            own = points[labels == number]
            if len(own):
                axes.scatter(
                    own[:, 0], own[:, 1], s=9, alpha=0.7, linewidths=0, label=_plain(name),
                    color=COLOURS[number % len(COLOURS)],
                    marker=markers[number // len(COLOURS) % len(markers)],
                )  # fmt: skip
        axes.set(title=title, xticks=[], yticks=[])
        axes.grid(visible=False)
        if len(points):
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), markerscale=2, fontsize=8)
    return path
