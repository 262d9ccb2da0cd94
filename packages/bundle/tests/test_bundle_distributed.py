"""Two processes train as one: each takes half of every batch, contrasts are the whole batch's."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.train import Training
from nearfar_kit.checkpoint import load_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Metrics

# Views that are the same, and no noise: nothing tells the processes' draws apart.
SCRIPT = """
import sys
from pathlib import Path
from nearfar_bundle import objective
from nearfar_bundle.settings import VARIANTS, BundleSettings
from nearfar_bundle.simulate import simulate
from nearfar_bundle.split import split_bundles
from nearfar_bundle.train import Training
from nearfar_kit.checkpoint import save_checkpoint
from nearfar_kit.launch import launch
from nearfar_kit.settings import load_settings

fabric = launch("cpu")
split = split_bundles(simulate(items=160, bundles=120, users=60), 0)
same = dict(batch=25, cf_width=0, item_views="same", bundle_views="drop")
objective.bundle_view = lambda items, present, *rest: (items, present)
for name, base in (
    ("default", dict(encoder=True)),
    ("paper", VARIANTS["paper"]),
    ("variational", VARIANTS["paper"] | dict(bundle_encoder="variational", bundle_noise=0.0)),
    ("bce", VARIANTS["paper"] | dict(loss="bce")),
):
    training = Training(split, load_settings(BundleSettings, base=base | same), 0, fabric)
    if name == "variational":
        training.model.bundles.posterior = still(training.model.bundles)
    losses = [training.step()]
    grads = {n: p.grad.clone() for n, p in training.model.named_parameters() if p.grad is not None}
    losses += [training.step() for _ in range(2)]
    if fabric.is_global_zero:
        save_checkpoint(Path(sys.argv[1]) / name, {"losses": losses, "grads": grads})
"""
STILL = """
from torch.distributions import Normal

def still(bundles):
    posterior = type(bundles).posterior

    def without_draws(items, present):
        found = posterior(bundles, items, present)
        found.rsample = lambda: found.mean
        return found

    return without_draws

"""
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone"]
ALONE = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}


def python(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ALONE, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of the models that one process and two have trained."""
    folders = {}
    for name, launcher in (("one", []), ("two", TORCHRUN)):
        folders[name] = tmp_path_factory.mktemp(name)
        script = folders[name] / "script.py"
        script.write_text(STILL + SCRIPT)
        python(*launcher, script, folders[name])
    return folders


@pytest.mark.parametrize("name", ["default", "paper", "variational", "bce"])
def test_two_processes_are_one(trained, name):
    one, two = (load_checkpoint(trained[n] / name) for n in ("one", "two"))
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-4)
    assert len(one["grads"]) == len(two["grads"]) > 6
    for key, value in one["grads"].items():
        near = 1e-4 * float(value.abs().max()) + 1e-9
        assert torch.allclose(value, two["grads"][key], rtol=1e-3, atol=near), key


def test_the_command_on_two_processes_leaves_one_run(tmp_path):
    rows = [f"b{n},item {(n * k + k) % 9}" for n in range(30) for k in range(1, 4)]
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "bundles.csv").write_text("\n".join(["bundle,item", *rows]))
    out = tmp_path / "run"
    command = ["-m", "nearfar_bundle.cli", "train", "--data", tmp_path / "shop", "--device=cpu",
               "--quiet", "--set=epochs=1", "--set=near=1"]  # fmt: skip
    err = python(*TORCHRUN, *command, "--out", out)
    assert {p.name for p in out.iterdir()} >= {"metrics.json", "report.html", "checkpoint"}
    records = Metrics.read(out / "metrics.json").records
    assert len({(r.method, r.metric) for r in records}) == len(records)  # written once
    assert err.count("repeat another's items") == 1


def test_batches_too_small_for_the_processes(split):
    many = SimpleNamespace(global_rank=0, world_size=99, device=torch.device("cpu"))
    with pytest.raises(UserError, match="batches of 4 bundles for 99 processes; expected one or"):
        Training(split, BundleSettings(batch=4), 0, many)
