"""Speed and memory of the losses against peers and against their own matrix products.

    python shared/core/benchmarks/bench.py --out shared/core/benchmarks/results/cpu
    python shared/core/benchmarks/bench.py --device cuda --dtype bfloat16 --width 256 --out DIR

Needs torch and nearfar, and nothing else to measure (``PYTHONPATH=shared/core/src`` will do);
render.py makes the table and the plots of metrics.json, here at the end where nearfar-kit is
installed. Peers that are not installed are left out and named. Times are medians of several runs,
forward and backward, all contenders of a loss in one process and in turn; memory is the peak over
the inputs in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

import nearfar
import nearfar.functional as F

# Rows of an N x N matrix that a machine of 16 GiB can hold with its gradient.
LARGEST_DENSE = {"cpu": 16_384, "cuda": 65_536}
PEERS = ("lightly", "pytorch-metric-learning")


@dataclass(frozen=True)
class Problem:
    """``n`` rows that meet each other (or n rows and n keys), ``d`` wide."""

    n: int
    d: int
    device: str
    dtype: str

    def rows(self, count: int) -> Tensor:
        kind = getattr(torch, self.dtype)
        return torch.randn(count, self.d, device=self.device, dtype=kind).requires_grad_()

    def views(self) -> tuple[Tensor, Tensor]:
        return self.rows(self.n // 2), self.rows(self.n // 2)

    def own(self) -> Tensor:
        return torch.arange(self.n, device=self.device)

    def labels(self) -> Tensor:
        """Eight rows a label, in disorder."""
        return (self.own() * 7919) % (self.n // 8)

    def catalogue(self) -> tuple[Tensor, Tensor, Tensor]:
        """n/2 rows by 2n classes: as many scores as n rows by n keys."""
        h, w = (self.rows(k).detach().div(self.d**0.25) for k in (self.n // 2, 2 * self.n))
        target = (torch.arange(self.n // 2, device=self.device) * 7919) % (2 * self.n)
        return h.requires_grad_(), w.requires_grad_(), target


Run = Callable[[], None]
Contender = Callable[[Problem], Run]  # gives a function that does forward and backward once


def ours(name: str) -> Contender:
    def make(p: Problem) -> Run:
        if name == "nt_xent":
            a, b = p.views()
            return lambda: F.nt_xent(a, b, temperature=0.1).backward()
        if name == "linear_cross_entropy":
            h, w, target = p.catalogue()
            return lambda: F.linear_cross_entropy(h, w, target).backward()
        if name == "sup_con":
            z, y = p.rows(p.n), p.labels()
            return lambda: F.sup_con(z, y).backward()
        x, y = p.rows(p.n), p.rows(p.n)
        loss = {"clip": F.clip, "info_nce": F.info_nce}[name]
        return lambda: loss(x, y).backward()

    return make


def dense(name: str) -> Contender:
    def make(p: Problem) -> Run:
        own = p.own()
        if name == "nt_xent":
            a, b = p.views()

            def run() -> None:
                z = normalize(torch.cat([a, b]))
                s = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
                cross_entropy(s, own.roll(p.n // 2)).backward()

        elif name in ("clip", "info_nce"):
            x, y = p.rows(p.n), p.rows(p.n)

            def run() -> None:
                s = normalize(x) @ normalize(y).T / 0.07
                loss = cross_entropy(s, own)
                if name == "clip":
                    loss = (loss + cross_entropy(s.T, own)) / 2
                loss.backward()

        elif name == "linear_cross_entropy":
            h, w, target = p.catalogue()

            def run() -> None:
                cross_entropy(h @ w.T, target).backward()

        else:
            z, y = p.rows(p.n), p.labels()

            def run() -> None:
                u = normalize(z)
                s = (u @ u.T / 0.1).fill_diagonal_(-torch.inf)
                near = (y[:, None] == y).fill_diagonal_(False)
                log_p = s.log_softmax(1).masked_fill(~near, 0)
                (-log_p.sum(1) / near.sum(1)).mean().backward()

        return run

    return make


def chunked(name: str) -> Contender:
    """torch's own cross-entropy over a linear layer, in chunks of rows (from torch 2.13)."""

    def make(p: Problem) -> Run:
        from torch.nn.functional import linear_cross_entropy

        options = torch.nn.LinearCrossEntropyOptions()
        if name == "linear_cross_entropy":
            h, w, target = p.catalogue()
            return lambda: linear_cross_entropy(h, w, target, options=options).backward()
        x, y, own = p.rows(p.n), p.rows(p.n), p.own()

        def run() -> None:
            u, v = normalize(x), normalize(y)
            loss = linear_cross_entropy(u / 0.07, v, own, options=options)
            if name == "clip":
                loss = (loss + linear_cross_entropy(v / 0.07, u, own, options=options)) / 2
            loss.backward()

        return run

    return make


def lightly(p: Problem) -> Run:
    from lightly.loss import NTXentLoss

    a, b = p.views()
    loss = NTXentLoss(temperature=0.1)
    return lambda: loss(a, b).backward()


def metric_learning(p: Problem) -> Run:
    from pytorch_metric_learning.losses import SupConLoss

    z, y = p.rows(p.n), p.labels()
    loss = SupConLoss(temperature=0.1)
    return lambda: loss(z, y).backward()


def whole_products(factor: int) -> Contender:
    """The products of ``factor`` N^2 D operations as one writes them: X Y^T, S Y, S^T X."""

    def make(p: Problem) -> Run:
        x, y = p.rows(p.n).detach(), p.rows(p.n).detach()
        s = x.new_empty(p.n, p.n)

        def run() -> None:
            for _ in range(factor // 2 - 2):
                torch.mm(x, y.T, out=s)
            torch.mm(s, y)
            torch.mm(s.T, x)

        return run

    return make


def tiled_products(factor: int) -> Contender:
    """As many on tiles that stay in the cache, none of them transposed: a lower bound."""

    def make(p: Problem) -> Run:
        x = p.rows(p.n).detach()
        side = min(p.n, 1024 if p.device == "cpu" else 8192)
        e, out = x.new_empty(side, side), x.new_zeros(side, p.d)

        def run() -> None:
            for i in range(0, p.n, side):
                for j in range(0, p.n, side):
                    for turn in range(factor // 2):  # each product: 2 side^2 D operations
                        if turn % 2 == 0:
                            torch.mm(x[i : i + side], x[j : j + side].T, out=e)
                        else:
                            out.addmm_(e, x[j : j + side])

        return run

    return make


def products(factor: int) -> dict[str, Contender]:
    return {
        f"matrix products {factor}N²D": whole_products(factor),
        f"matrix products {factor}N²D in tiles": tiled_products(factor),
    }


CONTENDERS: dict[str, dict[str, Contender]] = {
    "nt_xent": {
        "nearfar": ours("nt_xent"),
        "torch, dense": dense("nt_xent"),
        "lightly": lightly,
        **products(8),
    },
    "sup_con": {
        "nearfar": ours("sup_con"),
        "torch, dense": dense("sup_con"),
        "pytorch-metric-learning": metric_learning,
        **products(8),
    },
    "clip": {
        "nearfar": ours("clip"),
        "torch, dense": dense("clip"),
        "torch, chunked": chunked("clip"),
        **products(8),
    },
    "info_nce": {
        "nearfar": ours("info_nce"),
        "torch, dense": dense("info_nce"),
        "torch, chunked": chunked("info_nce"),
        **products(6),
    },
    "linear_cross_entropy": {
        "nearfar": ours("linear_cross_entropy"),
        "torch, dense": dense("linear_cross_entropy"),
        "torch, chunked": chunked("linear_cross_entropy"),
        **products(6),
    },
}


def seconds_of(run: Run, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def memory_elsewhere(loss: str, contender: str, p: Problem) -> float:
    """Peak bytes over the inputs, in a process of its own; NaN where it failed."""
    call = [sys.executable, __file__, "--memory", loss, contender, json.dumps(asdict(p))]
    done = subprocess.run(call, capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 else float("nan")


def memory_here(loss: str, contender: str, p: Problem) -> float:
    make = CONTENDERS[loss][contender]
    make(Problem(256, p.d, p.device, p.dtype))()  # what is loaded and cached on first use
    run = make(p)
    if p.device == "cuda":
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


def record(loss: str, p: Problem, contender: str, seed: int, metric: str, value: float) -> dict:
    return {
        "dataset": loss, "split": f"n={p.n},d={p.d},dtype={p.dtype}", "method": contender,
        "seed": seed, "metric": metric, "value": value if value == value else None, "n": p.n,
    }  # fmt: skip


def compare(loss: str, p: Problem, rounds: int, present: dict[str, Contender]) -> list[dict]:
    runs: dict[str, Run] = {}
    for name, make in present.items():
        if p.n <= LARGEST_DENSE[p.device] or name == "nearfar" or "in tiles" in name:
            runs[name] = make(p)
            runs[name]()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):  # in turn, so that a slow moment of the machine meets all
        for name, run in runs.items():
            taken[name].append(seconds_of(run, p.device))
    del runs
    print(loss, p.n, {k: round(statistics.median(v), 4) for k, v in taken.items()}, flush=True)
    records = []
    for name, values in taken.items():
        records += [record(loss, p, name, seed, "seconds", v) for seed, v in enumerate(values)]
        if "products" not in name:
            peak = memory_elsewhere(loss, name, p)
            records.append(record(loss, p, name, 0, "bytes over inputs", peak))
    return records


def usable(name: str, make: Contender, device: str) -> bool:
    try:
        make(Problem(64, 8, device, "float32"))
    except (ImportError, RuntimeError, AttributeError) as error:
        print(f"left out: {name} cannot be used here ({error})", file=sys.stderr)
        return False
    return True


def versions_of(peers: list[str]) -> dict[str, str]:
    versions = {"python": platform.python_version(), "torch": torch.__version__,
                "nearfar": nearfar.__version__}  # fmt: skip
    for package in ["triton", *(peer for peer in peers if peer in PEERS)]:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def described(device: str) -> str:
    if device == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})"
    return f"cpu ({platform.machine()}), {torch.get_num_threads()} threads"


def peak_memory() -> int:
    """Bytes of the resident set, this process's or a child's."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) * 1024  # kB on Linux


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-core"))
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1024, 2048, 4096, 8192, 16_384, 32_768]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--large", type=int, default=100_000, help="rows of one run; 0: none")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.memory:
        loss, contender, problem = asked.memory
        print(memory_here(loss, contender, Problem(**json.loads(problem))))
        return
    began = time.monotonic()
    every = {name: make for contenders in CONTENDERS.values() for name, make in contenders.items()}
    able = [name for name, make in every.items() if usable(name, make, asked.device)]
    records: list[dict] = []
    for loss, contenders in CONTENDERS.items():
        present = {name: make for name, make in contenders.items() if name in able}
        for n in asked.sizes:
            p = Problem(n, asked.width, asked.device, asked.dtype)
            records += compare(loss, p, asked.rounds, present)
    if asked.large:
        p = Problem(asked.large, asked.width, asked.device, asked.dtype)
        once = seconds_of(ours("nt_xent")(p), asked.device)
        peak = memory_elsewhere("nt_xent", "nearfar", p)
        records.append(record("nt_xent", p, "nearfar", 0, "seconds", once))
        records.append(record("nt_xent", p, "nearfar", 0, "bytes over inputs", peak))
    asked.out.mkdir(parents=True, exist_ok=True)
    head = {
        "schema": 1, "domain": "core", "verb": "bench",
        "date": time.strftime("%Y-%m-%d", time.gmtime()), "versions": versions_of(able),
        "device": described(asked.device), "loss_path": nearfar.loss_path(asked.device),
        "seconds": round(time.monotonic() - began, 1), "peak_memory_bytes": peak_memory(),
        "settings_hash": "",
    }  # fmt: skip
    lines = ",\n".join(f"  {json.dumps(record)}" for record in records)
    text = json.dumps(head, indent=1).removesuffix("\n}")
    (asked.out / "metrics.json").write_text(f'{text},\n "records": [\n{lines}\n ]\n}}\n')
    try:
        from render import render
    except ImportError:
        print(f"{asked.out}/metrics.json is written; render.py wants nearfar-kit", file=sys.stderr)
    else:
        render(asked.out)


if __name__ == "__main__":
    main()
