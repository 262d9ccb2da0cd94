"""Two processes' losses, gradients and training are one process's on the joined batch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from nearfar_dna.encoders import CompositionEncoder, Hidden, encode
from nearfar_dna.settings import DnaSettings
from nearfar_dna.simulate import simulate
from nearfar_dna.train import Training
from nearfar_kit.checkpoint import load_checkpoint

METHODS = ("simclr", "weighted_simclr", "sup_con")
SETTINGS = {"fragments_a_genome": 6, "width": 8, "hidden": 8, "shortest": 300, "longest": 500,
            "rows_a_species": 4, "start": "random", "kmers": (2,)}  # fmt: skip
SCRIPT = f"""
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from nearfar_dna.encoders import CompositionEncoder
from nearfar_dna.objective import mixed_loss
from nearfar_dna.settings import DnaSettings
from nearfar_dna.simulate import simulate
from nearfar_dna.train import Training
from nearfar_kit.checkpoint import save_checkpoint
from nearfar_kit.launch import launch

fabric = launch("cpu")
rank = fabric.global_rank
torch.manual_seed(0)
encoder = CompositionEncoder((3,), 8, 2, 8).double()
for p in encoder.parameters():
    torch.nn.init.normal_(p, std=0.3)
x = torch.randn(16, 32, dtype=torch.float64)
own = slice(4 * rank, 4 * rank + 4)
loss = mixed_loss(encoder, torch.nn.Identity(), x[:8][own], x[8:][own], at=1, alpha=1.0,
                  hardness=0.5, temperature=0.2, generator=torch.Generator().manual_seed(rank),
                  group=dist.group.WORLD)
loss.backward()
found = {{"loss": loss.detach()}}
for name, p in encoder.named_parameters():
    dist.all_reduce(p.grad)
    found[name] = p.grad / 2
genomes = simulate(species=6, bases=6000, seed=3)
for method in {METHODS}:
    training = Training(genomes, DnaSettings(method=method, **{SETTINGS}), 0, fabric)
    for _ in range(2):
        training.step()
    found[method] = dict(training.encoder.state_dict())
    found[method + " gradient"] = [p.grad for p in training.parameters]
if rank == 0:
    save_checkpoint(Path(sys.argv[1]) / "found", found)
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found."""
    folder = tmp_path_factory.mktemp("two")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone",
         str(script), str(folder)],
        check=True, capture_output=True, env=environment, timeout=300,
    )  # fmt: skip
    return load_checkpoint(folder / "found")


def test_mixtures_of_two_processes_are_those_of_one(two):
    from nearfar.functional import mi_mix
    from nearfar.mixing import mix_rows
    from nearfar.targets import Listed

    torch.manual_seed(0)
    encoder = CompositionEncoder((3,), 8, 2, 8).double()
    for p in encoder.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x = torch.randn(16, 32, dtype=torch.float64)
    kept = []

    def mix(hidden):
        parts = [
            mix_rows(hidden.values[4 * rank : 4 * rank + 4], alpha=1.0, chance=1.0, majority=True,
                     generator=torch.Generator().manual_seed(rank))
            for rank in range(2)
        ]  # fmt: skip
        index = torch.cat([targets.index + 4 * rank for rank, (_, targets) in enumerate(parts)])
        kept.append(Listed(index, torch.cat([targets.weight for _, targets in parts])))
        return Hidden(torch.cat([values for values, _ in parts]))

    mixed = encode(encoder, x[:8], 1, mix)
    loss = mi_mix(mixed, encode(encoder, x[8:]), kept[0], beta=0.5, temperature=0.2)
    torch.autograd.backward(loss)
    assert torch.allclose(two["loss"], loss.detach(), rtol=1e-10)
    for name, p in encoder.named_parameters():
        assert torch.allclose(two[name], p.grad, rtol=1e-8, atol=1e-12), name


@pytest.mark.parametrize("method", METHODS)
def test_training_of_two_processes_is_that_of_one(two, method):
    genomes = simulate(species=6, bases=6000, seed=3)
    training = Training(genomes, DnaSettings(method=method, **SETTINGS), 0)
    before = {name: value.clone() for name, value in training.encoder.state_dict().items()}
    for _ in range(2):
        training.step()
    for found, parameter in zip(two[f"{method} gradient"], training.parameters, strict=True):
        assert torch.allclose(found, parameter.grad, rtol=1e-3, atol=1e-6)
    for name, value in training.encoder.state_dict().items():
        assert torch.allclose(two[method][name], value, rtol=1e-4, atol=1e-6), name
    moved = [not torch.equal(before[name], value)
             for name, value in training.encoder.state_dict().items()]  # fmt: skip
    assert sum(moved) >= 4
