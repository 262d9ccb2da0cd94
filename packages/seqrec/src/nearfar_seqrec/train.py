"""Training: one loop for all methods, resumable to the same numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nearfar_kit.run import RunFolder
from nearfar_kit.work import carry_out, finite
from nearfar_seqrec.baselines import most_similar
from nearfar_seqrec.batches import Batch, Batches
from nearfar_seqrec.evaluate import evaluate
from nearfar_seqrec.models import new_model
from nearfar_seqrec.recommender import Recommender
from nearfar_seqrec.scoring import ModelScorer
from nearfar_seqrec.settings import SeqrecSettings
from nearfar_seqrec.split import Split

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Training", "train"]

CHOSEN_BY = "ndcg@10"  # of the validation part


class Training:
    """The optimisation of one model; its whole state is in :meth:`state`.

    Adam, a constant learning rate, and the model of the epoch that validated best: training ends
    when ``patience`` validations in a row were no better. On several processes each takes a share
    of every batch, the losses are those of the whole batch, and gradients are averaged.
    """

    def __init__(
        self, split: Split, settings: SeqrecSettings, seed: int, fabric: Fabric | None = None
    ) -> None:
        self.split, self.settings, self.seed, self.fabric = split, settings, seed, fabric
        self.batches = Batches(
            split,
            mode=settings.train_mode,
            longest=settings.longest,
            size=settings.batch,
            seed=seed,
            want_alike=settings.method == "duorec",
        )
        similar = None
        if {"insert", "substitute"} & set(settings.augmentations):
            similar = torch.from_numpy(most_similar(split))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = new_model(
                settings,
                len(split.sequences.items),
                torch.from_numpy(split.train_counts()),
                similar,
                split.features,
            )
        self.rank, self.world = 0, 1
        if fabric is not None:
            self.rank, self.world = fabric.global_rank, fabric.world_size
            self.model.to(fabric.device)
            if similar is not None:
                self.model.similar = similar.to(fabric.device)
            if self.world > 1:
                self.model.group = torch.distributed.group.WORLD
        self.parameters: dict[str, list[Tensor]] = self.model.parameter_groups()
        self.optimizers = {
            name: torch.optim.Adam(
                own, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
            )
            for name, own in self.parameters.items()
        }
        self.generator = torch.Generator()  # on the CPU: the same draws on any device
        self.done = 0  # batches
        self.loss = math.nan
        self.history: list[dict[str, float]] = []  # of each validation
        self._coming: Iterator[Batch] | None = None  # batches of this epoch
        self.best: dict[str, Tensor] | None = None

    @property
    def epoch(self) -> int:
        return self.done // len(self.batches)

    @property
    def over(self) -> bool:
        """Whether the epochs or the patience are used up."""
        if self.done % len(self.batches):
            return False
        return self.epoch >= self.settings.epochs or self._stale() >= self.settings.patience

    def _stale(self) -> int:
        """Validations since the best one."""
        values = [found[CHOSEN_BY] for found in self.history]
        return len(values) - 1 - int(np.argmax(values)) if values else 0

    @finite
    def step(self) -> float:
        """Learns from the next batch, and validates at an epoch's end; gives the loss."""
        if self._coming is None:
            skipped = self.done % len(self.batches)
            self._coming = islice(self.batches.epoch(self.epoch), skipped, None)
        loss = self.learn(next(self._coming))
        if self.done % len(self.batches) == 0:
            self._coming = None
            if self._is_validated():
                self.validate()
        return loss

    def _is_validated(self) -> bool:
        return self.epoch % self.settings.validate_every == 0 or self.epoch == self.settings.epochs

    def learn(self, batch: Batch) -> float:
        """All the optimizer steps of one batch; gives the first one's loss."""
        # Chance follows from the batch's number alone: a resumed run needs no state of it.
        words = np.random.SeedSequence([self.seed, self.rank, self.done]).generate_state(2)
        self.generator.manual_seed(int(words[0]))
        torch.manual_seed(int(words[1]))
        if self.world > 1:
            batch = batch.rows(slice(self.rank, None, self.world))
        if self.fabric is not None:
            batch = batch.to(self.fabric.device)
        self.model.train()
        losses = []
        for name, loss_of in self.model.steps(batch, self.generator):
            loss = loss_of()
            own = self.parameters[name]
            # Of these parameters alone: the others' gradients are neither made nor kept.
            for parameter, gradient in zip(
                own, torch.autograd.grad(loss, own, allow_unused=True), strict=True
            ):
                parameter.grad = gradient
                if self.world > 1 and gradient is not None and self.fabric is not None:
                    parameter.grad = self.fabric.all_reduce(gradient, reduce_op="mean")  # type: ignore[assignment]
            self.optimizers[name].step()
            losses.append(float(loss.detach()))
        self.done += 1
        self.loss = losses[0]
        return self.loss

    def validate(self) -> dict[str, float]:
        """Measures on the validation part; the best model is kept."""
        found = evaluate(
            ModelScorer(self.model),
            self.split,
            self.split.valid,
            longest=self.settings.longest,
            mask_seen=self.settings.mask_seen,
        )
        self.history.append({"epoch": self.epoch, "loss": self.loss} | found)
        if self._stale() == 0:
            self.best = deepcopy(self.model.state_dict())
        return found

    def trained(self) -> Any:
        """The model of the best validation, on the CPU."""
        model = self.model.cpu()
        if self.best is not None:
            model.load_state_dict(self.best)
        model.group = None
        return model.eval()

    def live(self) -> dict[str, float]:
        """The epoch, for the steps alone are counted, and the last measure on validation."""
        found = {"epoch": float(-(-self.done // len(self.batches)))}
        if self.history:
            found[f"valid {CHOSEN_BY}"] = self.history[-1][CHOSEN_BY]
        return found

    def scorer(self) -> ModelScorer:
        """What ranks by the model of the best validation."""
        return ModelScorer(self.trained())

    def state(self) -> dict[str, Any]:
        return {
            "model": dict(self.model.state_dict()),
            "best": None if self.best is None else dict(self.best),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "done": self.done,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "history": self.history,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.best = state["best"]
        for name, own in state["optimizers"].items():
            self.optimizers[name].load_state_dict(own)
        self.done, self._coming = state["done"], None
        self.loss = math.nan if state["loss"] is None else state["loss"]
        self.history = state["history"]


def train(
    split: Split,
    settings: SeqrecSettings,
    seed: int = 0,
    *,
    run: RunFolder | None = None,
    fabric: Fabric | None = None,
    quiet: bool = True,
) -> Recommender:
    """A trained recommender.

    Args:
        run: where checkpoints and the log go; a checkpoint found there is gone on with.

    Raises:
        UserError: there is nothing to train on; the run to resume was begun with other data.
    """
    training = Training(split, settings, seed, fabric)
    begun_with = {
        "seed": seed, "users": len(split.sequences), "interactions": len(split.sequences.flat),
        "items": len(split.sequences.items),
        "features": 0 if split.features is None else len(split.features.names),
    }  # fmt: skip
    carry_out(
        training, settings.epochs * len(training.batches), f"training ({settings.method})",
        begun_with, run, over=lambda: training.over, shown=training.live, quiet=quiet,
    )  # fmt: skip
    recommender = Recommender(
        settings, split.sequences, training.trained(), training.history, training.epoch,
        split.features,
    )  # fmt: skip
    if run is not None and run.writes:
        recommender.save(run.checkpoint / "model.safetensors")
        run.log("trained", epochs=training.epoch)
    return recommender
