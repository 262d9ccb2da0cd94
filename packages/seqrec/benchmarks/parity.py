#!/usr/bin/env python3
"""RecBole's own SASRec by its own trainer beside ours, on MovieLens 100k: quality, time, memory.

    python parity.py [--users N] [--epochs N] [--seeds N] [--longest L] --out FOLDER

The same users, split, network, batch and learning rate; each run in a process of its own. RecBole
trains as it is installed, which is with anomaly detection on (an import of its turns it on), and
without it; ours on RecBole's prefixes and on all positions. All are tested by our evaluation, and
RecBole's model by RecBole's too: the measures must be the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch

from nearfar_kit.atomic import write_atomic
from nearfar_kit.table import Table
from nearfar_seqrec.compat import ensure_recbole
from nearfar_seqrec.data import ml_100k
from nearfar_seqrec.evaluate import evaluate
from nearfar_seqrec.recbole_run import MODEL_DEFAULTS, split_of_recbole
from nearfar_seqrec.report import Value
from nearfar_seqrec.scoring import ModelScorer

WAYS = {
    "recbole": "RecBole, as installed",
    "recbole-plain": "RecBole, anomaly detection off",
    "prefix": "ours, prefixes",
    "positions": "ours, all positions",
}


def subset(users: int, folder: Path) -> None:
    """A RecBole data set ``ml-part`` of the users of the lowest numbers."""
    frame = pl.read_csv(ml_100k() / "ml-100k.inter", separator="\t", infer_schema=False)
    kept = frame.filter(pl.col("user_id:token").cast(pl.Int64) <= users)
    (folder / "ml-part").mkdir()
    kept.write_csv(folder / "ml-part" / "ml-part.inter", separator="\t")


def one(way: str, given: argparse.Namespace) -> dict[str, float]:
    """Trains and tests one model."""
    ensure_recbole()
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec as Theirs
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    from nearfar_seqrec.models import SASRec
    from nearfar_seqrec.models.config import settings_of
    from nearfar_seqrec.train import Training

    # The config reads the command line; in RecBole's own use there is nothing of ours on it.
    sys.argv = sys.argv[:1]
    config = Config(
        model=Theirs, dataset="ml-part",
        config_dict=MODEL_DEFAULTS | {
            "data_path": given.data, "MAX_ITEM_LIST_LENGTH": given.longest, "seed": given.seed,
            "train_batch_size": 256, "learning_rate": 3e-3, "epochs": given.epochs,
            "show_progress": False,
            "metrics": ["Hit", "NDCG"], "topk": [5, 10, 20], "metric_decimal_place": 8,
            "valid_metric": "NDCG@10", "log_wandb": False, "checkpoint_dir": given.data,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
        },
    )  # fmt: skip
    init_seed(given.seed, True)
    split = split_of_recbole(create_dataset(config))
    settings = settings_of(
        config, method="sasrec", train_mode="positions" if way == "positions" else "prefix",
        validate_every=given.epochs, user_min=1, item_min=1,
        # A row holds many targets: a smaller batch has about as many as one of prefixes.
        batch=32 if way == "positions" else 256,
    )  # fmt: skip
    found: dict[str, float] = {}
    if way.startswith("recbole"):
        train, _, test = data_preparation(config, create_dataset(config))
        model = Theirs(config, train.dataset)
        trainer = Trainer(config, model)
        torch.autograd.set_detect_anomaly(way == "recbole")
        began = time.process_time()
        for epoch in range(given.epochs):
            trainer._train_epoch(train, epoch)
        seconds = time.process_time() - began
        theirs = trainer.evaluate(test, load_best_model=False)
        found |= {f"theirs {name}": float(theirs[name]) for name in ("hit@10", "ndcg@10")}
        ours = SASRec(config, train.dataset)
        ours.load_state_dict(model.state_dict())
        ours.settings = settings
        scorer = ModelScorer(ours)
    else:
        training = Training(split, settings, given.seed)
        began = time.process_time()
        for epoch in range(given.epochs):
            for batch in training.batches.epoch(epoch):
                training.learn(batch)
        seconds = time.process_time() - began
        scorer = ModelScorer(training.model)
    found |= {"epoch": seconds / given.epochs}
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return found | evaluate(scorer, split, split.test, longest=given.longest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--longest", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/parity"))
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--data")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(one(given.way, given)))
        return
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        subset(given.users, Path(folder))
        for seed in range(given.seeds):
            for way in WAYS:
                if way == "recbole" and seed:
                    continue  # the same numbers as without anomaly detection, in twice the time
                command = [sys.executable, __file__, "--way", way, "--seed", str(seed)]
                command += ["--data", folder, "--epochs", str(given.epochs)]
                command += ["--longest", str(given.longest)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
                print(way, seed, found[way][-1], file=sys.stderr)
    given.out.mkdir(parents=True, exist_ok=True)
    write_atomic(given.out / "parity.json", json.dumps(found, indent=1))
    names = ["hit@10", "ndcg@10", "theirs ndcg@10", "epoch", "peak"]
    rows = [
        [title, *(Value.of([run[n] for run in found[way] if n in run]) for n in names)]
        for way, title in WAYS.items()
    ]
    columns = ["SASRec", "hit@10", "NDCG@10", "by RecBole", "epoch, processor s", "peak, MiB"]
    caption = (
        f"MovieLens 100k, users 1 to {given.users}, last {given.longest} items, {given.epochs} "
        f"epochs: mean ± standard deviation over {given.seeds} seeds."
    )
    table = Table(caption, columns, rows).markdown().replace("**", "")
    write_atomic(given.out / "parity.md", table)
    print(table)


if __name__ == "__main__":
    main()
