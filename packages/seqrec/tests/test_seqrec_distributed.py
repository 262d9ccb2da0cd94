"""Two processes train as one: each takes half of every batch, the losses are the whole batch's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nearfar_kit.checkpoint import load_checkpoint
from nearfar_kit.metrics import Metrics

# Without dropout and with views that are the history itself nothing tells the processes' draws
# apart.
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import SMALL, circles
from nearfar_kit.checkpoint import save_checkpoint
from nearfar_kit.launch import launch
from nearfar_seqrec.sequences import sequences_of
from nearfar_seqrec.settings import SeqrecSettings
from nearfar_seqrec.split import leave_one_out
from nearfar_seqrec.train import Training

fabric = launch("cpu")
split = leave_one_out(sequences_of(circles()))
for method in ("duorec", "mclrec"):
    same = dict(dropout=0.0, batch=15, augmentations=("mask",), mask_ratio=0.0)
    settings = SeqrecSettings(**SMALL | same | dict(method=method, meta_weight=0.5))
    training = Training(split, settings, 0, fabric)
    for _, batch in zip(range(3), training.batches.epoch(0)):
        training.learn(batch)
    if fabric.is_global_zero:
        save_checkpoint(Path(sys.argv[1]) / method, dict(training.model.state_dict()))
"""
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone"]
ALONE = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}


def python(*arguments: object) -> None:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ALONE, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of the models that one process and two have trained."""
    folders = {}
    for name, launcher in (("one", []), ("two", TORCHRUN)):
        folders[name] = tmp_path_factory.mktemp(name)
        script = folders[name] / "script.py"
        script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
        python(*launcher, script, folders[name])
    return folders


@pytest.mark.parametrize("method", ["duorec", "mclrec"])
def test_two_processes_are_one(trained, method):
    one, two = (load_checkpoint(trained[n] / method) for n in ("one", "two"))
    assert len(one) == len(two) > 10
    for name in one:
        assert torch.allclose(one[name], two[name], rtol=1e-3, atol=2e-5), name


def test_the_command_on_two_processes_leaves_one_run(circle_rows, tmp_path):
    data, out = tmp_path / "circle.txt", tmp_path / "run"
    data.write_text("\n".join("\t".join([user, *items]) for user, items in circle_rows))
    sets = ["method=mclrec", "width=8", "layers=1", "heads=1", "inner_width=8", "longest=6",
            "epochs=2", "batch=16", "user_min=1", "item_min=1"]  # fmt: skip
    command = ["-m", "nearfar_seqrec.cli", "train", "--data", data, "--out", out, "--device=cpu"]
    python(*TORCHRUN, *command, "--quiet", *(f"--set={s}" for s in sets))
    names = {path.name for path in out.iterdir()}
    assert names >= {"settings.yaml", "metrics.json", "log.jsonl", "checkpoint", "report.html"}
    records = Metrics.read(out / "metrics.json").records
    assert len({(r.method, r.metric) for r in records}) == len(records)  # written once
    words = [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert words.count("trained") == 1
