"""Speed and memory of the losses against peers and against their own matrix products.

    python shared/core/benchmarks/bench.py --out shared/core/benchmarks/results/cpu

Needs nearfar-kit for tables and plots; peers that are not installed are left out and named. Times
are medians of several runs, forward and backward, all contenders of a loss in one process and in
turn; memory is the peak over the inputs in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear_cross_entropy, normalize

import nearfar
import nearfar.functional as F

D = 128
LARGEST_DENSE = (
    16_384  # rows of an N x N matrix that a machine of 16 GiB can hold with its gradient
)


def views(n: int, device: str) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, n // 2, D, generator=g).to(device)
    return a.requires_grad_(), b.requires_grad_()


def labels(n: int, device: str) -> Tensor:
    return (torch.arange(n, device=device) * 7919) % (n // 8)


def catalogue(n: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """n/2 rows by 2n classes: as many scores as n rows that meet n rows."""
    h, w = (torch.randn(k, D, device=device).div(D**0.25).requires_grad_() for k in (n // 2, 2 * n))
    return h, w, (torch.arange(n // 2, device=device) * 7919) % (2 * n)


# Contenders: each takes n and a device and gives a function that does forward and backward once.
# n counts the rows that meet each other.


def ours(name: str) -> Callable[[int, str], Callable[[], None]]:
    def make(n: int, device: str) -> Callable[[], None]:
        a, b = views(n, device)
        if name == "nt_xent":
            return lambda: F.nt_xent(a, b, temperature=0.1).backward()
        if name == "clip":
            x, y = (torch.randn(n, D, device=device).requires_grad_() for _ in "xy")
            return lambda: F.clip(x, y).backward()
        if name == "info_nce":
            x, y = (torch.randn(n, D, device=device).requires_grad_() for _ in "xy")
            return lambda: F.info_nce(x, y).backward()
        if name == "linear_cross_entropy":
            h, w, target = catalogue(n, device)
            return lambda: F.linear_cross_entropy(h, w, target).backward()
        z, y = torch.cat([a, b]).detach().requires_grad_(), labels(n, device)
        return lambda: F.sup_con(z, y).backward()

    return make


def products(factor: int) -> Callable[[int, str], Callable[[], None]]:
    """Plain matrix products of ``factor`` N^2 D operations, in the tiles of the losses."""

    def make(n: int, device: str) -> Callable[[], None]:
        x = torch.randn(n, D, device=device)
        side = min(n, 1024 if device == "cpu" else 8192)
        e, out = torch.empty(side, side, device=device), torch.zeros(side, D, device=device)

        def run() -> None:
            for i in range(0, n, side):
                for j in range(0, n, side):
                    for turn in range(factor // 2):  # each product: 2 side^2 D operations
                        if turn % 2 == 0:
                            torch.mm(x[i : i + side], x[j : j + side].T, out=e)
                        else:
                            out.addmm_(e, x[j : j + side])

        return run

    return make


def dense(name: str) -> Callable[[int, str], Callable[[], None]]:
    def make(n: int, device: str) -> Callable[[], None]:
        a, b = views(n, device)
        own = torch.arange(n, device=device)
        if name == "nt_xent":

            def run() -> None:
                z = normalize(torch.cat([a, b]))
                s = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
                cross_entropy(s, own.roll(n // 2)).backward()

        elif name in ("clip", "info_nce"):
            x, y = (torch.randn(n, D, device=device).requires_grad_() for _ in "xy")

            def run() -> None:
                s = normalize(x) @ normalize(y).T / 0.07
                loss = cross_entropy(s, own)
                if name == "clip":
                    loss = (loss + cross_entropy(s.T, own)) / 2
                loss.backward()

        elif name == "linear_cross_entropy":
            h, w, target = catalogue(n, device)

            def run() -> None:
                cross_entropy(h @ w.T, target).backward()

        else:
            z, y = torch.cat([a, b]).detach().requires_grad_(), labels(n, device)

            def run() -> None:
                u = normalize(z)
                s = (u @ u.T / 0.1).fill_diagonal_(-torch.inf)
                near = (y[:, None] == y).fill_diagonal_(False)
                log_p = s.log_softmax(1).masked_fill(~near, 0)
                (-log_p.sum(1) / near.sum(1)).mean().backward()

        return run

    return make


def chunked(name: str) -> Callable[[int, str], Callable[[], None]]:
    """torch's own cross-entropy over a linear layer, in chunks of rows."""

    def make(n: int, device: str) -> Callable[[], None]:
        options = torch.nn.LinearCrossEntropyOptions()
        if name == "linear_cross_entropy":
            h, w, target = catalogue(n, device)
            return lambda: linear_cross_entropy(h, w, target, options=options).backward()
        x, y = (torch.randn(n, D, device=device).requires_grad_() for _ in "xy")
        own = torch.arange(n, device=device)

        def run() -> None:
            u, v = normalize(x), normalize(y)
            loss = linear_cross_entropy(u / 0.07, v, own, options=options)
            if name == "clip":
                loss = (loss + linear_cross_entropy(v / 0.07, u, own, options=options)) / 2
            loss.backward()

        return run

    return make


def lightly(n: int, device: str) -> Callable[[], None]:
    from lightly.loss import NTXentLoss

    a, b = views(n, device)
    loss = NTXentLoss(temperature=0.1)
    return lambda: loss(a, b).backward()


def metric_learning(n: int, device: str) -> Callable[[], None]:
    from pytorch_metric_learning.losses import SupConLoss

    a, b = views(n, device)
    z, y = torch.cat([a, b]).detach().requires_grad_(), labels(n, device)
    loss = SupConLoss(temperature=0.1)
    return lambda: loss(z, y).backward()


CONTENDERS: dict[str, dict[str, Callable[[int, str], Callable[[], None]]]] = {
    "nt_xent": {
        "nearfar": ours("nt_xent"),
        "matrix products 8N²D": products(8),
        "torch, dense": dense("nt_xent"),
        "lightly": lightly,
    },
    "sup_con": {
        "nearfar": ours("sup_con"),
        "matrix products 8N²D": products(8),
        "torch, dense": dense("sup_con"),
        "pytorch-metric-learning": metric_learning,
    },
    "clip": {
        "nearfar": ours("clip"),
        "matrix products 8N²D": products(8),
        "torch, dense": dense("clip"),
        "torch, chunked": chunked("clip"),
    },
    "info_nce": {
        "nearfar": ours("info_nce"),
        "matrix products 6N²D": products(6),
        "torch, dense": dense("info_nce"),
        "torch, chunked": chunked("info_nce"),
    },
    "linear_cross_entropy": {
        "nearfar": ours("linear_cross_entropy"),
        "matrix products 6N²D": products(6),
        "torch, dense": dense("linear_cross_entropy"),
        "torch, chunked": chunked("linear_cross_entropy"),
    },
}


def median_seconds(run: Callable[[], None], device: str, rounds: int) -> list[float]:
    seconds = []
    for _ in range(rounds):
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return seconds


def measure_memory(loss: str, contender: str, n: int, device: str) -> float:
    """Peak bytes over the inputs, in a process of its own."""
    call = [sys.executable, __file__, "--memory", loss, contender, str(n), "--device", device]
    done = subprocess.run(call, capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 else float("nan")


def memory_of(loss: str, contender: str, n: int, device: str) -> float:
    CONTENDERS[loss][contender](256, device)()  # what is loaded and cached on first use
    run = CONTENDERS[loss][contender](n, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    # The peak of this process alone, on Linux: getrusage's would begin with the parent's.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) * 1024


def _status(name: str) -> int:
    """kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-core"))
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1024, 2048, 4096, 8192, 16_384, 32_768]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--large", type=int, default=100_000, help="rows of one run; 0: none")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        loss, contender, n = arguments.memory
        print(memory_of(loss, contender, int(n), arguments.device))
        return
    compare(arguments.out, arguments.sizes, arguments.rounds, arguments.device, arguments.large)


def compare(out: Path, sizes: list[int], rounds: int, device: str, large: int) -> None:
    from rich.console import Console

    from nearfar_kit.launch import describe_device
    from nearfar_kit.metrics import Metrics, Record, versions_of
    from nearfar_kit.plots import lines
    from nearfar_kit.table import Table, summarise

    versions = versions_of()
    for peer, make in (("lightly", lightly), ("pytorch-metric-learning", metric_learning)):
        try:
            make(64, device)
            versions[peer] = importlib.metadata.version(peer)
        except (ImportError, RuntimeError) as error:
            print(f"left out: {peer} cannot be used here ({error})", file=sys.stderr)
    described = f"{describe_device(device)}, {torch.get_num_threads()} threads"
    metrics = Metrics("core", "bench", versions, described, nearfar.loss_path(device), "")
    tables: list[Table] = []
    out.mkdir(parents=True, exist_ok=True)
    for loss, contenders in CONTENDERS.items():
        present = {
            name: make for name, make in contenders.items()
            if name not in ("lightly", "pytorch-metric-learning") or name in versions
        }  # fmt: skip
        seconds: dict[tuple[str, int], float] = {}
        memory: dict[tuple[str, int], float] = {}
        for n in sizes:
            runs = {
                name: make(n, device) for name, make in present.items()
                if n <= LARGEST_DENSE or name == "nearfar" or "products" in name
            }  # fmt: skip
            for run in runs.values():
                run()
            taken: dict[str, list[float]] = {name: [] for name in runs}
            for _ in range(rounds):  # in turn, so that a slow moment of the machine meets all
                for name, run in runs.items():
                    taken[name] += median_seconds(run, device, 1)
            for name, values in taken.items():
                seconds[name, n] = statistics.median(values)
                split = f"n={n},d={D}"
                metrics.add(Record(loss, split, name, seed, "seconds", v, n)
                            for seed, v in enumerate(values))  # fmt: skip
                if "products" not in name:
                    memory[name, n] = measure_memory(loss, name, n, device)
                    metrics.add([Record(loss, split, name, 0, "bytes over inputs",
                                        memory[name, n], n)])  # fmt: skip
            del runs
            print(loss, n, {name: round(seconds[name, n], 4) for name in taken}, flush=True)
        tables += tables_of(loss, sizes, seconds, memory)
        for what, values, unit in (("time", seconds, 1.0), ("memory", memory, 2**20)):
            names = dict.fromkeys(name for name, _ in values)
            series = {name: [summarise([values.get((name, n), float("nan")) / unit])
                             for n in sizes] for name in names}  # fmt: skip
            lines(out / f"{loss}_{what}.png", sizes, series,
                  title=f"{loss}, D = {D}, {device}: {what} of forward and backward",
                  x_label="rows", y_label="s" if what == "time" else "MiB over the inputs",
                  log_x=True, ticks=[str(n) for n in sizes], emphasise=["nearfar"],
                  log_y=True)  # fmt: skip
    if large:
        seconds_large = median_seconds(ours("nt_xent")(large, device), device, 1)[0]
        memory_large = measure_memory("nt_xent", "nearfar", large, device)
        split = f"n={large},d={D}"
        metrics.add([
            Record("nt_xent", split, "nearfar", 0, "seconds", seconds_large, large),
            Record("nt_xent", split, "nearfar", 0, "bytes over inputs", memory_large, large),
        ])  # fmt: skip
        tables.append(
            Table(
                f"nt_xent on {large:,} rows, once, forward and backward; their scores alone would "
                f"take {large**2 * 4 / 2**30:.0f} GiB.",
                ["seconds", "MiB over the inputs"],
                [[f"{seconds_large:.1f}", f"{memory_large / 2**20:.0f}"]],
            )
        )
    metrics.write(out / "metrics.json")
    text = "\n".join(table.markdown() for table in tables)
    made = f"{metrics.date}; {metrics.device}; {json.dumps(versions)}"
    (out / "table.md").write_text(f"{text}\n{made}\n", encoding="utf-8")
    for table in tables:
        Console().print(table.terminal())


def tables_of(loss, sizes, seconds, memory):
    from nearfar_kit.table import Table

    rows, kept = [], [n for n in sizes if ("nearfar", n) in seconds]
    for name in dict.fromkeys(name for name, _ in seconds):
        cells = []
        for n in kept:
            if (name, n) not in seconds:
                cells.append("-")
                continue
            ratio = seconds[name, n] / seconds["nearfar", n]
            mib = memory.get((name, n))
            space = "" if mib is None or mib != mib else f", {mib / 2**20:.0f} MiB"
            cells.append(f"{seconds[name, n] * 1e3:.0f} ms ({ratio:.2f}x){space}")
        rows.append([name, *cells])
    caption = (
        f"{loss}: median time of forward and backward, times over nearfar's in brackets, peak "
        f"memory over the inputs; D = {D}, columns are rows N."
    )
    return [Table(caption, ["", *map(str, kept)], rows)]


if __name__ == "__main__":
    main()
