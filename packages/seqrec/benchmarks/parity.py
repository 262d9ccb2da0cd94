#!/usr/bin/env python3
"""RecBole's own SASRec by its own trainer beside ours, on MovieLens 100k: quality, time, memory.

    python parity.py [--users N] [--recent N] [--longest L] [--epochs N] [--seeds N] --out FOLDER

The same users, split, network, learning rate and number of targets a batch. Each run is a process
of its own, validates after every epoch (outside the time), stops when four validations in a row
were no better, and is tested with the weights of the best one. RecBole trains as it is installed,
which is with anomaly detection on (an import of its turns it on; one epoch, for its time), and
without it; ours on RecBole's prefixes and on all positions. All are tested by our evaluation, and
RecBole's model by RecBole's too: the measures must be the same. A run leaves a file in FOLDER/runs
and is not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import polars as pl
import torch

from nearfar_kit.atomic import write_atomic
from nearfar_kit.metrics import versions_of
from nearfar_kit.table import Table, spread_over, summarise
from nearfar_seqrec.compat import ensure_recbole
from nearfar_seqrec.data import ml_100k
from nearfar_seqrec.evaluate import evaluate
from nearfar_seqrec.recbole_run import MODEL_DEFAULTS, split_of_recbole
from nearfar_seqrec.report import value
from nearfar_seqrec.scoring import ModelScorer

WAYS = {
    "recbole": "RecBole, as installed",
    "recbole-plain": "RecBole, anomaly detection off",
    "prefix": "ours, prefixes",
    "positions": "ours, all positions",
}
TARGETS = 256  # a batch
PATIENCE = 4
NEAR = 0.95  # of RecBole's best validation: reached, for the time that it takes


def write_part(given: argparse.Namespace, folder: Path) -> None:
    """A RecBole data set ``ml-part``: users of the lowest numbers, the last of their films."""
    frame = pl.read_csv(ml_100k() / "ml-100k.inter", separator="\t", infer_schema=False)
    user = pl.col("user_id:token")
    kept = (
        frame.filter(user.cast(pl.Int64) <= given.users)
        .sort(user, pl.col("timestamp:float").cast(pl.Float64), maintain_order=True)
        .group_by(user, maintain_order=True)
        .tail(given.recent)
        .select(frame.columns)
    )
    (folder / "ml-part").mkdir()
    kept.write_csv(folder / "ml-part" / "ml-part.inter", separator="\t")


def config_of(given: argparse.Namespace, model: type) -> Any:
    from recbole.config import Config

    # The config reads the command line; in RecBole's own use there is nothing of ours on it.
    sys.argv = sys.argv[:1]
    return Config(
        model=model, dataset="ml-part",
        config_dict=MODEL_DEFAULTS | {
            "data_path": given.data, "MAX_ITEM_LIST_LENGTH": given.longest, "seed": given.seed,
            "train_batch_size": TARGETS, "learning_rate": given.rate, "epochs": given.epochs,
            "show_progress": False,
            "metrics": ["Hit", "NDCG"], "topk": [5, 10, 20], "metric_decimal_place": 8,
            "valid_metric": "NDCG@10", "log_wandb": False, "checkpoint_dir": given.data,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
        },
    )  # fmt: skip


def one(given: argparse.Namespace) -> dict[str, Any]:
    """Trains and tests one model."""
    ensure_recbole()
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec as Theirs
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    from nearfar_seqrec.models import SASRec
    from nearfar_seqrec.models.config import settings_of
    from nearfar_seqrec.train import Training

    config = config_of(given, Theirs)
    init_seed(given.seed, True)
    split = split_of_recbole(create_dataset(config))
    settings = settings_of(
        config, method="sasrec", user_min=1, item_min=1,
        train_mode="positions" if given.way == "positions" else "prefix",
        # A row holds up to ``longest`` targets.
        batch=max(2, TARGETS // given.longest) if given.way == "positions" else TARGETS,
    )  # fmt: skip
    if given.way.startswith("recbole"):
        train, _, test = data_preparation(config, create_dataset(config))
        trained = Theirs(config, train.dataset)
        trainer = Trainer(config, trained)
        torch.autograd.set_detect_anomaly(given.way == "recbole")
        judged = SASRec(config, train.dataset)
        judged.settings = settings

        def an_epoch(number: int) -> None:
            trainer._train_epoch(train, number)
    else:
        training = Training(split, settings, given.seed)
        trained = judged = training.model

        def an_epoch(number: int) -> None:
            for batch in training.batches.epoch(number):
                training.learn(batch)

    before = peak()
    history, best = learn(an_epoch, trained, judged, split, given)
    added = peak() - before
    trained.load_state_dict(best)
    judged.load_state_dict(best)
    found = evaluate(ModelScorer(judged), split, split.test, longest=given.longest)
    if given.way.startswith("recbole"):
        theirs = trainer.evaluate(test, load_best_model=False)
        found |= {f"theirs {name}": float(theirs[name]) for name in ("hit@10", "ndcg@10")}
    return found | {"peak": peak(), "added": added, "history": history}


def learn(
    an_epoch: Callable[[int], None], trained: Any, judged: Any, split: Any, given: Any
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Epochs until they are used up or no better; the history, and the best weights."""
    history: list[dict[str, float]] = []
    best, seconds = {}, 0.0
    for number in range(given.epochs):
        began = time.process_time()
        an_epoch(number)
        seconds += time.process_time() - began
        judged.load_state_dict(trained.state_dict())
        valid = evaluate(ModelScorer(judged), split, split.valid, longest=given.longest)["ndcg@10"]
        history.append({"seconds": seconds, "valid": valid})
        values = [epoch["valid"] for epoch in history]
        stale = len(values) - 1 - values.index(max(values))
        if stale == 0:
            best = deepcopy(trained.state_dict())
        if stale >= PATIENCE:
            break
    return history, best


def peak() -> float:
    """MiB of resident memory at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def told(found: dict[str, list[dict[str, Any]]]) -> list[list[Any]]:
    """A row a way."""
    theirs = [max(e["valid"] for e in run["history"]) for run in found["recbole-plain"]]
    goal = NEAR * statistics.fmean(theirs)
    rows = []
    for way, title in WAYS.items():
        runs = [run | times(run["history"], goal) for run in found[way]]
        missed = sum(math.isnan(run["to goal"]) for run in runs)
        names = ["ndcg@10", "theirs ndcg@10", "valid", "epochs", "epoch", "to goal", "peak",
                 "added"]  # fmt: skip
        if way == "recbole":  # one epoch says nothing of quality
            missed = 0
            names = [name if name in ("epoch", "peak", "added") else "" for name in names]
        cells = [value(summarise(run.get(name, math.nan) for run in runs)) for name in names]
        rows.append([f"{title} ({missed} never)" if missed else title, *cells])
    return rows


def times(history: list[dict[str, float]], goal: float) -> dict[str, float]:
    """The best validation and its epoch, seconds an epoch, and seconds to the goal."""
    values = [epoch["valid"] for epoch in history]
    return {
        "valid": max(values),
        "epochs": values.index(max(values)) + 1,
        "epoch": history[-1]["seconds"] / len(history),
        "to goal": next((e["seconds"] for e in history if e["valid"] >= goal), math.nan),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=943)
    parser.add_argument("--recent", type=int, default=52)
    parser.add_argument("--longest", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("runs/parity"))
    parser.add_argument("--way", choices=WAYS, help="of one run; it is done alone, and printed")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--data")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(one(given)))
        return
    (given.out / "runs").mkdir(parents=True, exist_ok=True)
    begun_with = {n: getattr(given, n) for n in ("users", "recent", "longest", "epochs", "rate")}
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        write_part(given, Path(folder))
        for seed in range(given.seeds):
            for way in WAYS:
                if way == "recbole" and seed:
                    continue  # the same numbers as without anomaly detection, in twice the time
                kept = given.out / "runs" / f"{way}-{seed}.json"
                if not kept.exists():
                    asked = begun_with | ({"epochs": 1} if way == "recbole" else {})
                    command = [
                        sys.executable,
                        "-W",
                        "ignore",
                        __file__,
                        "--way",
                        way,
                        "--seed",
                        str(seed),
                    ]
                    command += ["--data", folder]
                    command += [f"--{name}={value}" for name, value in asked.items()]
                    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                    run = json.loads(done.stdout.splitlines()[-1])
                    write_atomic(kept, json.dumps({"begun_with": begun_with, "run": run}))
                content = json.loads(kept.read_text(encoding="utf-8"))
                if content["begun_with"] != begun_with:
                    parser.error(f"{kept} is of {content['begun_with']}; expected another --out")
                found[way].append(content["run"])
                print(way, seed, content["run"]["history"][-1], file=sys.stderr)
    columns = ["SASRec", "NDCG@10", "by RecBole", "best valid", "epochs to it",
               "epoch, processor s", f"s to {NEAR:.0%} of RecBole's best", "peak, MiB",
               "of it by training"]  # fmt: skip
    caption = (
        f"MovieLens 100k, {given.users} users, the last {given.recent} films of each, histories of "
        f"{given.longest}, learning rate {given.rate:g}, at most {given.epochs} epochs: "
        f"{spread_over(given.seeds)}."
    )
    table = Table(caption, columns, told(found)).markdown().replace("**", "")
    made = "; ".join(
        f"{name} {version}" for name, version in versions_of("recbole", "nearfar-seqrec").items()
    )
    content = {"begun_with": begun_with, "versions": made, "runs": found}
    write_atomic(given.out / "parity.json", json.dumps(content, indent=1))
    write_atomic(given.out / "parity.md", f"{table}\n{made}.\n")
    print(table)


if __name__ == "__main__":
    main()
