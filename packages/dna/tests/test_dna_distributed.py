"""Two processes' MI-Mix is one process's on the joined batch."""

from __future__ import annotations

import os
import subprocess
import sys

import torch

from nearfar_kit.checkpoint import load_checkpoint

SCRIPT = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from nearfar_dna.encoders import CompositionEncoder, encode
from nearfar_dna.objective import mixed_loss
from nearfar_kit.checkpoint import save_checkpoint

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
encoder = CompositionEncoder((3,), 8, 2, 8).double()
for p in encoder.parameters():
    torch.nn.init.normal_(p, std=0.3)
x = torch.randn(16, 32, dtype=torch.float64)
own = slice(4 * rank, 4 * rank + 4)
loss = mixed_loss(encoder, torch.nn.Identity(), x[:8][own], x[8:][own], at=1, alpha=1.0,
                  temperature=0.2, generator=torch.Generator().manual_seed(rank),
                  group=dist.group.WORLD)
loss.backward()
found = {"loss": loss.detach()}
for name, p in encoder.named_parameters():
    dist.all_reduce(p.grad)
    found[name] = p.grad / 2
if rank == 0:
    save_checkpoint(Path(sys.argv[1]) / "found", found)
dist.destroy_process_group()
"""


def test_two_processes_are_one(tmp_path):
    from nearfar.functional import soft_targets
    from nearfar.mixing import mix_rows
    from nearfar.targets import Listed
    from nearfar_dna.encoders import CompositionEncoder, Hidden, encode

    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone",
         str(script), str(tmp_path)],
        check=True, capture_output=True, env=environment, timeout=300,
    )  # fmt: skip
    two = load_checkpoint(tmp_path / "found")

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
    loss = soft_targets(mixed, encode(encoder, x[8:]), kept[0], temperature=0.2)
    torch.autograd.backward(loss)
    assert torch.allclose(two["loss"], loss.detach(), rtol=1e-10)
    for name, p in encoder.named_parameters():
        assert torch.allclose(two[name], p.grad, rtol=1e-8, atol=1e-12), name
