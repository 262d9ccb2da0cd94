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
from nearfar_kit.work import finite

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
        self.learning_rate = learning_rate
        self.seed = seed
        self.rank, world = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
        # Drawn on the CPU, so that the same seed draws the same on any device.
        self.generator = torch.Generator()
        self.optimizer = torch.optim.Adam(
            task.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
        )
        self.task: Any = task
        if fabric is not None:
            self.task, self.optimizer = fabric.setup(task, self.optimizer)
            signals, present = signals.to(fabric.device), present.to(fabric.device)
        self.signals = signals
        self.present = present
        # The order of all batches follows from the seed: a resumed run skips what was done.
        every = subject_batches(subject, batch, steps * world, np.random.default_rng(seed))
        self.batches = (rows for n, rows in enumerate(every) if n % world == self.rank)

    @property
    def encoder(self) -> Encoder:
        """The encoder as it is now, on the CPU when training is over."""
        return self.raw_task.encoder.cpu() if self.done >= self.steps else self.raw_task.encoder

    @finite
    def step(self) -> float:
        """One step; gives its loss."""
        self._begin_step()
        rows = torch.from_numpy(next(self.batches)).to(self.signals.device)
        self.task.train()
        loss = self.task(self.signals[rows], self.present[rows], self.generator)
        self.optimizer.zero_grad()
        if self.fabric is None:
            loss.backward()
        else:
            self.fabric.backward(loss)
        self.optimizer.step()
        self.done += 1
        self.loss = float(loss.detach())
        return self.loss

    def _begin_step(self) -> None:
        # Chance and learning rate follow from the step's number alone, on every process: a
        # resumed run needs no state of theirs. Dropout draws from torch's own generators.
        words = np.random.SeedSequence([self.seed, self.rank, self.done]).generate_state(2)
        self.generator.manual_seed(int(words[0]))
        torch.manual_seed(int(words[1]))
        warm = max(1, self.steps // 10)
        cosine = (1 + math.cos(math.pi * self.done / self.steps)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * min((self.done + 1) / warm, cosine)

    def run(self) -> None:
        """All steps that are left."""
        while self.done < self.steps:
            self.step()

    def state(self) -> dict[str, Any]:
        return {
            "task": dict(self.raw_task.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.raw_task.load_state_dict(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        for _ in range(state["done"] - self.done):
            next(self.batches)
        self.done = state["done"]
