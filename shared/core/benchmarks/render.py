"""The table and the plots of a benchmark's metrics.json: python render.py DIR."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

from rich.console import Console

from nearfar_kit.metrics import Metrics, parse_split
from nearfar_kit.plots import lines
from nearfar_kit.table import Table, summarise

Values = dict[tuple[str, int], float]  # by method and rows

NAN = float("nan")


def render(folder: Path) -> None:
    """Writes table.md and two PNGs a loss beside metrics.json."""
    metrics = Metrics.read(folder / "metrics.json")
    split = parse_split(metrics.records[0].split)
    width, dtype = split["d"], split.get("dtype", "float32")
    tables = []
    large = max(record.n for record in metrics.records)
    alone = {r.method for r in metrics.records if r.n == large} == {"nearfar"}
    for loss in dict.fromkeys(record.dataset for record in metrics.records):
        of_loss = [r for r in metrics.records if r.dataset == loss and (r.n < large or not alone)]
        seconds = values_of(of_loss, "seconds")
        memory = values_of(of_loss, "bytes over inputs")
        sizes = sorted({n for _, n in seconds})
        caption = (
            f"{loss}: median time of forward and backward, times over nearfar's in brackets, peak "
            f"memory over the inputs; D = {width}, {dtype}, columns are rows N."
        )
        tables.append(table_of(caption, sizes, seconds, memory))
        for what, values, unit in (("time", seconds, 1.0), ("memory", memory, 2**20)):
            names = dict.fromkeys(name for name, _ in values)
            series = {name: [summarise([values.get((name, n), NAN) / unit]) for n in sizes]
                      for name in names}  # fmt: skip
            lines(folder / f"{loss}_{what}.png", sizes, series,
                  title=f"{loss}, D = {width}, {metrics.device}",
                  x_label="rows", y_label="s, forward and backward" if what == "time"
                  else "MiB over the inputs", log_x=True, ticks=[str(n) for n in sizes],
                  emphasise=["nearfar"], log_y=True)  # fmt: skip
    if alone:
        once = {r.metric: r.value for r in metrics.records if r.n == large}
        tables.append(
            Table(
                f"nt_xent on {large:,} rows, once, forward and backward; their scores alone would "
                f"take {large**2 * 4 / 2**30:.0f} GiB.",
                ["seconds", "MiB over the inputs"],
                [[f"{once['seconds']:.1f}", f"{once['bytes over inputs'] / 2**20:.0f}"]],
            )
        )
    made = f"{metrics.date}; {metrics.device}; {json.dumps(metrics.versions)}"
    text = "\n".join(table.markdown() for table in tables)
    (folder / "table.md").write_text(f"{text}\n{made}\n", encoding="utf-8")
    for table in tables:
        Console().print(table.terminal())


def values_of(records: list, metric: str) -> Values:
    found: dict[tuple[str, int], list[float]] = {}
    for record in records:
        if record.metric == metric:
            found.setdefault((record.method, record.n), []).append(record.value)
    # Products last, so that a peer has one colour in both plots.
    order = sorted(found, key=lambda key: "products" in key[0])
    return {key: median(found[key]) for key in order}


def table_of(caption: str, sizes: list[int], seconds: Values, memory: Values) -> Table:
    rows = []
    for name in dict.fromkeys(name for name, _ in seconds):
        cells = []
        for n in sizes:
            if (name, n) not in seconds:
                cells.append("-")
                continue
            ratio = seconds[name, n] / seconds["nearfar", n]
            mib = memory.get((name, n), NAN) / 2**20
            space = "" if mib != mib else f", {mib:.0f} MiB"
            cells.append(f"{seconds[name, n] * 1e3:.0f} ms ({ratio:.2f}x){space}")
        rows.append([name, *cells])
    return Table(caption, ["", *map(str, sizes)], rows)


if __name__ == "__main__":
    render(Path(sys.argv[1]))
