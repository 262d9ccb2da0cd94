"""Pre-training: a pretext task over synchronous windows, resumable to the same numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nearfar_har.encoder import Encoder
from nearfar_har.pretext.task import Pretext
from nearfar_har.sampling import subject_batches

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Pretraining"]


class Pretraining:
    """The optimisation of one pretext task; its whole state is in :meth:`state`.

    Adam with a linear warm-up over a tenth of the steps and a cosine decay to zero. On several
    processes each takes its own batches and gradients are averaged.

    Args:
        signals: [N, devices, 6, W], scaled. present: [N, devices]. subject: [N].
        batch: windows a device a step.
        fabric: where to compute; None: this process and the CPU.
    """

    def __init__(
        self,
        task: Pretext,
        signals: Tensor,
        present: Tensor,
        subject: np.ndarray,
        *,
        steps: int,
        batch: int,
        learning_rate: float,
        weight_decay: float,
        seed: int,
        fabric: Fabric | None = None,
    ) -> None:
        self.raw_task = task
        self.fabric = fabric
        self.steps = steps
        self.done = 0
        self.loss = math.nan
        rank, world = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
        # Chance stays on the CPU, so that the same seed draws the same on any device.
        self.generator = torch.Generator().manual_seed(seed + 1_000_003 * rank)
        self.optimizer = torch.optim.Adam(
            task.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
        )
        warm = max(1, steps // 10)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda s: min((s + 1) / warm, (1 + math.cos(math.pi * min(1, s / steps))) / 2),
        )
        self.task: Any = task
        if fabric is not None:
            self.task, self.optimizer = fabric.setup(task, self.optimizer)
            signals, present = signals.to(fabric.device), present.to(fabric.device)
        self.signals = signals
        self.present = present
        # The order of all batches follows from the seed: a resumed run skips what was done.
        every = subject_batches(subject, batch, steps * world, np.random.default_rng(seed))
        self.batches = (rows for n, rows in enumerate(every) if n % world == rank)

    @property
    def encoder(self) -> Encoder:
        """The encoder as it is now, on the CPU when training is over."""
        return self.raw_task.encoder.cpu() if self.done >= self.steps else self.raw_task.encoder

    def step(self) -> float:
        """One step; gives its loss."""
        rows = torch.from_numpy(next(self.batches)).to(self.signals.device)
        self.task.train()
        loss = self.task(self.signals[rows], self.present[rows], self.generator)
        self.optimizer.zero_grad()
        if self.fabric is None:
            loss.backward()
        else:
            self.fabric.backward(loss)
        self.optimizer.step()
        self.schedule.step()
        self.done += 1
        self.loss = float(loss.detach())
        return self.loss

    def run(self) -> None:
        """All steps that are left."""
        while self.done < self.steps:
            self.step()

    def state(self) -> dict[str, Any]:
        return {
            "task": dict(self.raw_task.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict()["last_epoch"],
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),  # dropout draws from the global generator
            "done": self.done,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.raw_task.load_state_dict(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        schedule = self.schedule.state_dict()
        lrs = [group["lr"] for group in self.optimizer.param_groups]
        self.schedule.load_state_dict(
            schedule | {"last_epoch": state["schedule"], "_last_lr": lrs, "_step_count": 1}
        )
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        for _ in range(state["done"] - self.done):
            next(self.batches)
        self.done = state["done"]
