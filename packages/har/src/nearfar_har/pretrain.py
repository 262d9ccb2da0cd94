"""Pre-training: a pretext task over synchronous windows, resumable to the same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nearfar_har.pretext.task import Pretext
from nearfar_har.sampling import subject_batches

__all__ = ["Pretraining"]


class Pretraining:
    """The optimisation of one pretext task; its whole state is in :meth:`state`.

    Adam with a linear warm-up over a tenth of the steps and a cosine decay to zero.

    Args:
        signals: [N, devices, 6, W], scaled. present: [N, devices]. subject: [N].
        batch: windows a device a step.
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
    ) -> None:
        self.task = task
        self.signals = signals
        self.present = present
        self.steps = steps
        self.done = 0
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.Adam(
            task.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        warm = max(1, steps // 10)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda s: min((s + 1) / warm, (1 + math.cos(math.pi * min(1, s / steps))) / 2),
        )
        # The order of all batches follows from the seed: a resumed run skips what was done.
        self.batches = subject_batches(subject, batch, steps, np.random.default_rng(seed))

    def step(self) -> float:
        """One step; gives its loss."""
        rows = torch.from_numpy(next(self.batches))
        self.task.train()
        loss = self.task(self.signals[rows], self.present[rows], self.generator)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.done += 1
        return float(loss.detach())

    def run(self, each: Callable[[float], None] | None = None) -> None:
        """All steps that are left; ``each`` is told the loss."""
        while self.done < self.steps:
            loss = self.step()
            if each is not None:
                each(loss)

    def state(self) -> dict[str, object]:
        return {
            "task": self.task.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "done": self.done,
        }

    def load_state(self, state: dict) -> None:
        self.task.load_state_dict(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        for _ in range(state["done"] - self.done):
            next(self.batches)
        self.done = state["done"]
