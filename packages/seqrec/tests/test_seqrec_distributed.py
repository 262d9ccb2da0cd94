"""Two processes train as one: each takes half of every batch, the losses are the whole batch's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from nearfar_kit.checkpoint import load_checkpoint

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
# Without dropout and random views nothing tells the processes' draws apart.
settings = SeqrecSettings(**SMALL | dict(method="duorec", dropout=0.0, batch=15))
training = Training(leave_one_out(sequences_of(circles())), settings, 0, fabric)
for _, batch in zip(range(3), training.batches.epoch(0)):
    training.learn(batch)
if fabric.is_global_zero:
    save_checkpoint(Path(sys.argv[1]) / "model", dict(training.model.state_dict()))
"""


def run(out: Path, processes: int) -> None:
    out.mkdir()
    script = out / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    command = [sys.executable, str(script), str(out)]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}",
                        "--master-port=0", "--standalone"]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=300)


def test_two_processes_are_one(tmp_path):
    run(tmp_path / "one", 1)
    run(tmp_path / "two", 2)
    one, two = (load_checkpoint(tmp_path / n / "model") for n in ("one", "two"))
    for name in one:
        assert torch.allclose(one[name], two[name], rtol=1e-3, atol=2e-5), name
