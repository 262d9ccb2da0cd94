"""Training: pools of fragments, pairs of one genome, one resumable loop."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from nearfar_dna.alphabet import Codes
from nearfar_dna.encoders import CompositionEncoder, Encoder, encode
from nearfar_dna.fragments import draw_disjoint, with_errors
from nearfar_dna.genomes import Genomes
from nearfar_dna.model import DnaModel, new_encoder, new_head
from nearfar_dna.objective import method_at, mixed_loss, pair_loss
from nearfar_dna.pretrained import KeyReport, read_pretrained
from nearfar_dna.settings import DnaSettings
from nearfar_dna.tokenizer import learn_tokenizer, read_tokenizer
from nearfar_kit.errors import UserError
from nearfar_kit.run import RunFolder
from nearfar_kit.work import carry_out, finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Pool", "Training", "draw_pool", "train"]

WARM_UP = 30  # steps


@dataclass(frozen=True)
class Pool:
    """Fragments, those of a genome without overlap, as the encoder takes them.

    Attributes:
        prepared: [P, ...]. genome, species: [P]. bases: of all.
    """

    prepared: Tensor
    genome: NDArray[np.int64]
    species: NDArray[np.int64]
    bases: int

    def pairs(
        self, species: int, rows: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows [species, rows] of fragments of one genome a species, and the species."""
        known = np.unique(self.species)
        chosen = rng.permutation(known)[:species]
        found = []
        for name in chosen:
            own = np.unique(self.genome[self.species == name])
            genome = own[rng.integers(len(own))]
            found.append(rng.choice(np.flatnonzero(self.genome == genome), rows, replace=False))
        return np.stack(found), chosen


def draw_pool(genomes: Genomes, settings: DnaSettings, seed: int) -> tuple[list[Codes], Any, Any]:
    """Fragments of all genomes, half of them with read errors, and their genomes and species."""
    fragments: list[Codes] = []
    genome: list[int] = []
    for number, one in enumerate(genomes.genomes):
        rng = np.random.default_rng([seed, number])
        lengths = rng.integers(settings.shortest, settings.longest + 1, settings.fragments_a_genome)
        for codes in draw_disjoint(one, lengths.tolist(), rng):
            rate = rng.uniform(0, settings.errors) if rng.random() < 0.5 else 0.0
            fragments.append(with_errors(codes, rate, rng))
            genome.append(number)
    numbers = np.array(genome)
    return fragments, numbers, genomes.species[numbers]


class Training:
    """The optimisation of one encoder; its whole state is in :meth:`state`.

    AdamW with a short warm-up and a cosine. The pool follows from the seed, a batch from the seed
    and its number: a resumed run goes on to the same numbers. Of several processes each takes its
    share of every batch; losses are those of the whole batch, gradients are averaged.
    """

    def __init__(
        self, genomes: Genomes, settings: DnaSettings, seed: int, fabric: Fabric | None = None
    ) -> None:
        self.settings, self.seed, self.fabric = settings, seed, fabric
        self.rank = 0 if fabric is None else fabric.global_rank
        self.world = 1 if fabric is None else fabric.world_size
        self.group = dist.group.WORLD if self.world > 1 else None
        self.device = torch.device("cpu") if fabric is None else fabric.device
        if len(genomes.names) < 2:
            raise UserError(f"one species only ({genomes.names[0]}); expected two or more")
        fragments, genome, species = draw_pool(genomes, settings, seed)
        self.keys: KeyReport | None = None
        self.encoder: Encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if settings.encoder == "dnabert" and settings.pretrained is not None:
                folder = Path(settings.pretrained)
                self.encoder, sizes, self.keys = read_pretrained(folder, settings.max_tokens)
                settings = self.settings = settings.model_copy(update=sizes)
            else:
                self.encoder = new_encoder(settings, _tokenizer(fragments, settings))
            prepared = self.encoder.prepare(fragments)
            if isinstance(self.encoder, CompositionEncoder) and settings.start == "whitened":
                self.encoder.begin_whitened(prepared, torch.from_numpy(genome), settings.shrinkage)
            self.head = new_head(settings)
        bases = sum(len(codes) for codes in fragments)
        self.pool = Pool(prepared, genome, species, bases)
        self.encoder.to(self.device)
        self.head.to(self.device)
        self.parameters = [*self.encoder.parameters(), *self.head.parameters()]
        # With an identity for a head the second group is empty.
        self.optimizer = torch.optim.AdamW(
            [{"params": [*self.encoder.parameters()]}, {"params": [*self.head.parameters()]}],
            lr=settings.learning_rate, weight_decay=settings.weight_decay,
        )  # fmt: skip
        self.done = 0
        self.began, self.seen = time.monotonic(), 0.0

    @finite
    def step(self) -> float:
        """Learns from the next batch; gives its loss."""
        s = self.settings
        rng = np.random.default_rng([self.seed, 1, self.done])
        rows, species = self.pool.pairs(s.species_a_batch, s.rows_a_species, rng)
        at = int(rng.integers(len(self.encoder.layers)))
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)) + self.rank)
        rows, species = rows[self.rank :: self.world], species[self.rank :: self.world]
        method = method_at(s, self.done)
        if method == "sup_con":
            half = s.rows_a_species // 2
            species = np.repeat(species, half)
            first, second = rows[:, :half].ravel(), rows[:, half : 2 * half].ravel()
        else:
            first, second = rows[:, 0], rows[:, 1]
        a, b = (self.pool.prepared[torch.from_numpy(r)].to(self.device) for r in (first, second))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.precision == "bf16"):
            if method in ("i_mix", "mi_mix"):
                loss = mixed_loss(
                    self.encoder, self.head, a, b, at=0 if method == "i_mix" else at,
                    alpha=s.alpha, hardness=s.hardness, temperature=s.temperature,
                    generator=generator, group=self.group,
                )  # fmt: skip
            else:
                both = self.head(encode(self.encoder, torch.cat([a, b])))
                loss = pair_loss(
                    method, both[: len(a)], both[len(a) :],
                    torch.from_numpy(species).to(self.device), s.temperature, self.group,
                )  # fmt: skip
        value = float(loss.detach())
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        if self.world > 1 and self.fabric is not None:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")  # type: ignore[assignment]
        rate = min(1.0, (self.done + 1) / WARM_UP)
        rate *= 0.5 * (1 + math.cos(math.pi * self.done / max(1, s.steps)))
        for one, times in zip(self.optimizer.param_groups, (1.0, s.head_rate), strict=True):
            one["lr"] = s.learning_rate * rate * times
        self.optimizer.step()
        self.done += 1
        self.seen += self.world * 2 * len(a) * self.pool.bases / len(self.pool.genome)
        return value

    def live(self) -> dict[str, float]:
        """Millions of bases learnt from in a second."""
        return {"Mb/s": self.seen / 1e6 / max(1e-9, time.monotonic() - self.began)}

    def state(self) -> dict[str, Any]:
        return {
            "encoder": dict(self.encoder.state_dict()),
            "head": dict(self.head.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = state["done"]


def train(
    genomes: Genomes,
    settings: DnaSettings,
    seed: int = 0,
    *,
    run: RunFolder | None = None,
    fabric: Fabric | None = None,
    quiet: bool = True,
) -> DnaModel:
    """A trained model.

    Args:
        run: where checkpoints and the log go; a checkpoint found there is gone on with.

    Raises:
        UserError: fewer than two species; the run to resume was begun with other data.
    """
    training = Training(genomes, settings, seed, fabric)
    begun_with = {
        "seed": seed, "genomes": [genome.name for genome in genomes.genomes],
        "species": [genome.species for genome in genomes.genomes],
        "bases": training.pool.bases,
    }  # fmt: skip
    carry_out(
        training, settings.steps, f"training ({settings.method})", begun_with, run,
        shown=training.live, quiet=quiet,
    )  # fmt: skip
    learnt_from = [(genome.fingerprint, genome.species) for genome in genomes.genomes]
    model = DnaModel(training.settings, training.encoder.cpu(), training.keys, learnt_from)
    if run is not None and run.writes:
        model.save(run.checkpoint / "model.safetensors")
        run.log("trained", steps=training.done)
    return model


def _tokenizer(fragments: list[Codes], settings: DnaSettings) -> Tokenizer | None:
    if settings.encoder == "composition":
        return None
    if settings.tokenizer is not None:
        return read_tokenizer(Path(settings.tokenizer))
    return learn_tokenizer(fragments, settings.vocabulary)
