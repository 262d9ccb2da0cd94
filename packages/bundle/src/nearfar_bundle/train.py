"""Training: from a split to a builder of bundles, resumable to the same numbers."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from nearfar_bundle.baselines import Cosine
from nearfar_bundle.batches import Batch, queries_of, shown_part
from nearfar_bundle.builder import Builder
from nearfar_bundle.catalogue import Ints
from nearfar_bundle.collaborative import collaborative_vectors
from nearfar_bundle.company import BUNDLES, company_blocks
from nearfar_bundle.description import Description
from nearfar_bundle.evaluate import CHOSEN_BY, best_of, evaluate
from nearfar_bundle.features import Block, vector_rows
from nearfar_bundle.finish import finish
from nearfar_bundle.model import Features, Model
from nearfar_bundle.objective import objective
from nearfar_bundle.place import place_of
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.split import Split
from nearfar_bundle.start import start_from_validation
from nearfar_kit.errors import UserError
from nearfar_kit.run import RunFolder
from nearfar_kit.work import carry_out, finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["CHOSEN_BY", "Training", "train"]

COLLABORATIVE = "collaborative"
UNIT_FROM = 256  # partial bundles that tell of the size of cosines


class Training:
    """The optimisation of one model; its whole state is in :meth:`state`.

    Adam, with a rate for the encoder, one for the weights of modalities and one for those of words;
    the model of the epoch that validated best is kept.
    """

    def __init__(
        self, split: Split, settings: BundleSettings, seed: int, fabric: Fabric | None = None
    ) -> None:
        self.split, self.settings, self.seed, self.fabric = split, settings, seed, fabric
        self.place = place_of(fabric)
        known = split.catalogue
        self.description = Description.of(known, settings.text_width)
        content = self.description.blocks(known.texts, known.labels, known.vectors, len(known))
        self.blocks, self.blind = company_blocks(split)
        self.blocks = content + self.blocks
        self.features = features_of(split, self.description, content, settings, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Model(settings, self.features, self.blocks, units_of(self.blocks, split))
        if self.model.evidence is not None:
            start_from_validation(self.model.evidence, split)
        if fabric is not None:
            self.model.to(fabric.device)
            self.features = self.features.to(fabric.device)
        self.optimizer = torch.optim.Adam(self._groups())
        self.rows = np.flatnonzero(np.diff(split.training.indptr) > 1)
        if len(self.rows) < 2:
            raise UserError(
                f"training: {len(self.rows)} bundles of two items or more; expected two or more"
            )
        if len(self.rows) // self.steps < self.place.world:
            raise UserError(
                f"training: batches of {len(self.rows) // self.steps} bundles for "
                f"{self.place.world} processes; expected one or more each"
            )
        self.training = split.training
        self.done, self.loss = 0, math.nan
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = deepcopy(self.model.state_dict())

    def _groups(self) -> list[dict[str, Any]]:
        own = self.settings
        words, weights, exponents, rest = [], [], [], []
        for name, parameter in self.model.named_parameters():
            if name.startswith("evidence.words"):
                words.append(parameter)
            elif name.startswith("evidence.by_"):
                exponents.append(parameter)
            elif name.startswith("evidence."):
                weights.append(parameter)
            else:
                rest.append(parameter)
        return [
            {"params": words, "lr": own.word_rate},
            {"params": weights, "lr": own.evidence_rate},
            {"params": exponents, "lr": own.evidence_rate / 5},
            {"params": rest, "lr": own.encoder_rate, "weight_decay": own.weight_decay},
        ]

    @property
    def steps(self) -> int:
        """Batches an epoch; a last one of a single bundle would have nothing to contrast."""
        return -(-len(self.rows) // self.settings.batch)

    @property
    def epoch(self) -> int:
        return self.done // self.steps

    @property
    def over(self) -> bool:
        if self.done % self.steps:
            return False
        stale = len(self.history) - 1 - self._best_epoch() if self.history else 0
        return self.epoch >= self.settings.epochs or stale >= self.settings.patience

    def _best_epoch(self) -> int:
        return int(np.argmax([sum(h[name] for name in CHOSEN_BY) for h in self.history]))

    def batch(self) -> Batch:
        """The batch of this step: it follows from the seed and the number of steps done."""
        order = np.random.default_rng([self.seed, 0, self.epoch]).permutation(self.rows)
        rows = np.array_split(order, self.steps)[self.done % self.steps]
        rng = np.random.default_rng([self.seed, 1, self.done])
        return self.batch_of(rows, rng)

    def batch_of(self, rows: Ints, rng: np.random.Generator) -> Batch:
        whole = self.training[rows]
        shown, hidden = shown_part(
            whole, rng, longest=self.settings.longest, target_full=self.settings.target == "full"
        )
        blind = {name: own[rows] for name, own in self.blind.items()}
        queries = queries_of(shown, self.blocks, blind) if self.settings.evidence else []
        kin = (blind[BUNDLES] @ self.training).tocsr()
        candidates, share = (own.to(self.model.device) for own in self._candidates(kin, rng))
        return Batch(whole, shown, hidden, kin, queries, candidates, share)

    def _candidates(self, kin: csr_matrix, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """All items; of a large catalogue the batch's and a part of the others."""
        items = len(self.features)
        if items <= self.settings.candidates or self.settings.loss == "bce":
            return torch.arange(items), torch.ones(items)
        own = np.zeros(items, bool)
        own[kin.indices] = True
        others = np.flatnonzero(~own)
        room = max(1, self.settings.candidates - int(own.sum()))
        drawn = rng.choice(others, min(room, len(others)), replace=False)
        share = np.zeros(items, np.float32)
        share[own] = 1.0
        share[drawn] = len(others) / len(drawn)
        chosen = np.flatnonzero(share)
        return torch.from_numpy(chosen), torch.from_numpy(share[chosen])

    @finite
    def step(self) -> float:
        """Learns from the next batch, and validates at an epoch's end; gives the loss."""
        if self.done == 0:
            self.validate()
        batch = self.batch()
        # Chance follows from the step and the process: a resumed run needs no state of it.
        words = np.random.SeedSequence([self.seed, self.place.rank, self.done]).generate_state(2)
        chance = torch.Generator().manual_seed(int(words[0]))
        self.model.train()
        with torch.random.fork_rng():  # of dropout
            torch.manual_seed(int(words[1]))
            loss = objective(self.model, batch, self.features, chance, self.place)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        if self.fabric is not None and self.place.world > 1:
            loss = self.fabric.all_reduce(loss.detach(), reduce_op="mean")  # type: ignore[assignment]
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")  # type: ignore[assignment]
        self.optimizer.step()
        self.done += 1
        self.loss = float(loss.detach())
        if self.done % self.steps == 0:
            self.validate()
        return self.loss

    def validate(self) -> None:
        found = evaluate(self.builder(), self.split.valid, self.split.degrees > 0)
        self.history.append({"epoch": float(self.epoch), "loss": _finite(self.loss)} | found)
        if self._best_epoch() == len(self.history) - 1:
            self.best = deepcopy(self.model.state_dict())

    def live(self) -> dict[str, float]:
        return {f"valid {CHOSEN_BY[0]}": self.history[-1][CHOSEN_BY[0]] if self.history else 0.0}

    def builder(self) -> Builder:
        """The model as it is now."""
        known = self.split.catalogue
        return Builder(
            self.settings, known.items, self.description, self.blocks, self.features, self.model,
            labels=dict(known.labels), prices=known.prices, seed=self.seed,
        )  # fmt: skip

    def trained(self) -> Builder:
        """The model of the best validation, on the CPU."""
        self.model.cpu().load_state_dict(self.best)
        self.features = self.features.to(self.model.device)
        builder = self.builder()
        finish(builder, self.split)
        return builder

    def state(self) -> dict[str, Any]:
        return {
            "model": dict(self.model.state_dict()),
            "best": dict(self.best),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "history": self.history,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.history = state["done"], state["history"]
        self.loss = math.nan if state["loss"] is None else state["loss"]


def _finite(loss: float) -> float:
    """What a checkpoint can hold: before the first step there is no loss."""
    return loss if math.isfinite(loss) else 0.0


def units_of(blocks: list[Block], split: Split) -> Tensor:
    """One over the mean of the best cosines that each modality finds for the validation part."""
    shown = split.valid.shown[:UNIT_FROM]
    found = []
    for block in blocks:
        _, best = best_of(Cosine(block), shown, min(20, len(split.catalogue)))
        best = np.where(np.isfinite(best), best, 0.0)
        found.append(1 / max(float(best.mean()), 1e-3))
    return torch.tensor(found, dtype=torch.float32)


def features_of(
    split: Split, description: Description, content: list[Block], settings: BundleSettings,
    seed: int,
) -> Features:  # fmt: skip
    """What the encoder reads of the catalogue."""
    dense = [description.dense(block) for block in content]
    present = [torch.from_numpy(block.present) for block in content]
    if settings.encoder:
        vectors = collaborative_vectors(split.catalogue, settings, seed)
        if vectors is not None:
            block = Block(COLLABORATIVE, "vectors", vector_rows(vectors))
            dense.append(torch.from_numpy(block.rows.toarray()))
            present.append(torch.from_numpy(block.present))
    return Features(dense, present, len(content), torch.from_numpy(split.degrees))


def train(
    split: Split,
    settings: BundleSettings,
    seed: int = 0,
    *,
    run: RunFolder | None = None,
    fabric: Fabric | None = None,
    quiet: bool = True,
) -> Builder:
    """A trained builder of bundles.

    Args:
        run: where checkpoints and the log go; a checkpoint found there is gone on with.

    Raises:
        UserError: there is nothing to train on; the run to resume was begun with other data.
    """
    training = Training(split, settings, seed, fabric)
    begun_with = {
        "seed": seed, "items": len(split.catalogue), "bundles": len(split.train),
        "feedback": len(split.catalogue.feedback),
    }  # fmt: skip
    carry_out(
        training, settings.epochs * training.steps, f"training ({settings.variant})", begun_with,
        run, over=lambda: training.over, shown=training.live, quiet=quiet,
    )  # fmt: skip
    builder = training.trained()
    builder.history = training.history
    if run is not None and run.writes:
        builder.save(run.checkpoint / "model.safetensors")
        run.log("trained", epochs=training.epoch)
    return builder
