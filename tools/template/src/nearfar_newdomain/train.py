"""Training: two measurements of one thing are pulled together, those of others pushed apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import nearfar.functional as F
from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.run import RunFolder, model_of
from nearfar_kit.work import carry_out, finite
from nearfar_newdomain.measured import Measured
from nearfar_newdomain.settings import NewDomainSettings

__all__ = ["Encoder", "load_model", "save_model", "train"]


class Encoder(nn.Module):
    """Rows [N, D] -> embeddings [N, width], linear after scaling each column."""

    mean: Tensor
    scale: Tensor

    def __init__(self, columns: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.columns = columns
        self.register_buffer("mean", torch.zeros(len(columns)))
        self.register_buffer("scale", torch.ones(len(columns)))
        self.linear = nn.Linear(len(columns), width, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        embedded: Tensor = self.linear((rows - self.mean) / self.scale)
        return embedded


class Training:
    """Steps of training, as :func:`nearfar_kit.work.carry_out` does them."""

    def __init__(self, encoder: Encoder, data: Measured, settings: NewDomainSettings, seed: int):
        self.encoder, self.settings, self.seed, self.done = encoder, settings, seed, 0
        self.values = torch.from_numpy(data.values)
        self.rows = [np.flatnonzero(data.thing == thing) for thing in np.unique(data.thing)]
        self.optimizer = torch.optim.Adam(encoder.parameters(), lr=settings.learning_rate)

    @finite
    def step(self) -> float:
        # Chance follows from the step's number alone: a resumed run draws the same.
        draw = np.random.default_rng([self.seed, self.done])
        count = min(self.settings.batch, len(self.rows))
        chosen = draw.choice(len(self.rows), count, replace=False)
        pairs = np.stack([draw.choice(self.rows[n], 2, replace=False) for n in chosen], 1)
        a, b = (self.encoder(self.values[rows]) for rows in torch.from_numpy(pairs))
        loss = F.nt_xent(a, b, temperature=self.settings.temperature)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.done += 1
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        return {"done": self.done, "encoder": dict(self.encoder.state_dict()),
                "optimizer": self.optimizer.state_dict()}  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        self.done = state["done"]
        self.encoder.load_state_dict(state["encoder"])
        self.optimizer.load_state_dict(state["optimizer"])


def train(
    data: Measured,
    settings: NewDomainSettings,
    seed: int,
    *,
    run: RunFolder | None = None,
    quiet: bool = True,
) -> Encoder:
    """A trained encoder; with a run folder, one that a stopped run goes on to."""
    torch.manual_seed(seed)
    encoder = Encoder(data.columns, settings.width)
    encoder.mean.copy_(torch.from_numpy(data.values.mean(0)))
    encoder.scale.copy_(torch.from_numpy(data.values.std(0)).clamp(min=1e-6))
    work = Training(encoder, data, settings, seed)
    carry_out(work, settings.steps, "training", {"seed": seed, "rows": len(data)}, run, quiet=quiet)
    return encoder


def save_model(path: Path, encoder: Encoder) -> None:
    state = {"columns": list(encoder.columns), "encoder": dict(encoder.state_dict())}
    save_checkpoint(path, state)


def load_model(run: Path) -> Encoder:
    """The encoder that ``train`` left in a run folder.

    Raises:
        UserError: there is none, or it is another file.
    """
    file = model_of(run)
    kept = load_checkpoint(file)
    try:
        columns, state = tuple(kept["columns"]), kept["encoder"]
        encoder = Encoder(columns, len(state["linear.weight"]))
        encoder.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{file}: is no model of nearfar-newdomain ({error})") from None
    return encoder
