"""Training of SepCLR and of what it is compared with, resumable to the same numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from nearfar.samplers import ClassBalancedBatches
from nearfar_kit.errors import UserError
from nearfar_kit.work import finite
from nearfar_medical.sepclr.baselines import simclr
from nearfar_medical.sepclr.encoders import TwoEncoders, make_encoders
from nearfar_medical.sepclr.images import two_views
from nearfar_medical.sepclr.objective import Weights, separate, separate_attributes
from nearfar_medical.sepclr.pairs import Pairs
from nearfar_medical.sepclr.settings import SepCLRSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Separation", "Task", "check_pairs", "weights_of"]


def weights_of(settings: SepCLRSettings) -> Weights:
    names = Weights.__dataclass_fields__
    return Weights(**{name: getattr(settings, name) for name in names})


class Task(nn.Module):
    """Two views of a batch, both encoders, the objective of the settings."""

    def __init__(
        self,
        encoders: TwoEncoders,
        settings: SepCLRSettings,
        discrete: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        self.encoders, self.settings, self.discrete = encoders, settings, discrete

    def forward(
        self,
        x: Tensor,
        is_target: Tensor,
        generator: torch.Generator,
        attributes: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Images [N, C, ...], is_target [N], attributes [N, K] -> the terms, with ``total``."""
        s = self.settings
        # Both views in one pass: they share the statistics of batch normalisation.
        encoded = self.encoders(torch.cat(two_views(x, s, generator)))
        common = encoded.common_head[: len(x)], encoded.common_head[len(x) :]
        salient = encoded.salient_head[: len(x)], encoded.salient_head[len(x) :]
        if s.objective == "simclr":
            return simclr(common, salient, temperature=s.temperature, group=_group())
        if s.objective == "attributes":
            if attributes is None:
                raise ValueError("objective attributes reads attributes; none were given")
            return separate_attributes(
                common, salient, is_target, attributes,
                discrete=self.discrete, weights=weights_of(s), temperature=s.temperature,
                bandwidth=s.attribute_bandwidth, background_temperature=s.attribute_temperature,
                group=_group(),
            )  # fmt: skip
        return separate(
            common, salient, is_target,
            weights=weights_of(s), temperature=s.temperature, repel_constant=s.repel_constant,
            group=_group(),
        )  # fmt: skip


class Separation:
    """The optimisation of one objective by Adam; its whole state is in :meth:`state`.

    Batches hold as many background as target images. On several processes each draws images of its
    own, and the objective is that of the batches of all.

    Args:
        attributes: names of the pairs' attributes that objective ``attributes`` reads, one a
            salient dimension; measured ones are brought to 0 to 1.

    Raises:
        UserError: the pairs' images do not fit the settings, or the attributes do not.
    """

    def __init__(
        self,
        settings: SepCLRSettings,
        pairs: Pairs,
        *,
        seed: int,
        attributes: Sequence[str] = (),
        fabric: Fabric | None = None,
    ) -> None:
        check_pairs(settings, pairs, attributes)
        self.settings, self.seed, self.fabric = settings, seed, fabric
        self.steps = settings.steps_for(len(pairs.images))
        self.done = 0
        self.terms: dict[str, float] = {"total": math.nan}
        table, discrete = _attribute_table(pairs, attributes)
        self.raw_task = Task(make_encoders(settings, seed), settings, discrete)
        self.rank = 0 if fabric is None else fabric.global_rank
        # Drawn on the CPU, so that the same seed draws the same on any device.
        self.generator = torch.Generator()
        self.optimizer = torch.optim.Adam(
            self.raw_task.parameters(), lr=settings.learning_rate, fused=True
        )
        self.task: Any = self.raw_task
        self.images, self.is_target, self.table = pairs.images, pairs.is_target, table
        if fabric is not None:
            self.task, self.optimizer = fabric.setup(self.raw_task, self.optimizer)
        self.batches = ClassBalancedBatches(
            pairs.is_target.long(), classes=2, rows_each=settings.batch // 2, batches=1
        )

    @property
    def encoders(self) -> TwoEncoders:
        return self.raw_task.encoders

    @property
    def loss(self) -> float:
        return self.terms["total"]

    @finite
    def step(self) -> float:
        """One step; gives its loss. ``terms`` then holds every term of it."""
        rows = self._begin_step()
        x, is_target, table = self.images[rows], self.is_target[rows], self.table[rows]
        if self.fabric is not None:
            x, is_target, table = (v.to(self.fabric.device) for v in (x, is_target, table))
        self.task.train()
        terms = self.task(x, is_target, self.generator, table if table.shape[1] else None)
        self.optimizer.zero_grad()
        if self.fabric is None:
            terms["total"].backward()
        else:
            self.fabric.backward(terms["total"])
        self.optimizer.step()
        self.done += 1
        self.terms = {name: float(value.detach()) for name, value in terms.items()}
        return self.loss

    def _begin_step(self) -> list[int]:
        # Chance and learning rate follow from the step's number alone: a resumed run needs no state
        # of theirs.
        words = np.random.SeedSequence([self.seed, self.rank, self.done]).generate_state(2)
        self.generator.manual_seed(int(words[0]))
        self.batches.set_epoch(int(words[1]))
        rate = self.settings.learning_rate
        if self.settings.schedule == "cosine":
            warm = max(1, self.steps // 20)
            cosine = (1 + math.cos(math.pi * self.done / self.steps)) / 2
            rate *= min((self.done + 1) / warm, cosine)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return next(iter(self.batches))

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
        self.done = state["done"]


def check_pairs(settings: SepCLRSettings, pairs: Pairs, attributes: Sequence[str] = ()) -> None:
    """What :class:`Separation` needs of images and attributes.

    Raises:
        UserError: the images do not fit the settings, or the attributes do not.
    """
    dims, channels = pairs.images.ndim - 2, pairs.images.shape[1]
    if (dims, channels) != (settings.dims, settings.channels):
        raise UserError(
            f"images have {dims} dimensions and {channels} channels; expected {settings.dims} and "
            f"{settings.channels}, the settings' dims and channels"
        )
    missing = [name for name in attributes if name not in pairs.attributes]
    if missing:
        known = ", ".join(pairs.attributes) or "none"
        raise UserError(f"attribute {missing[0]}: the images have no such column; known: {known}")
    if settings.objective == "attributes" and len(attributes) != settings.salient_dims:
        raise UserError(
            f"objective attributes: {len(attributes)} attributes for {settings.salient_dims} "
            "salient_dims; expected one each"
        )
    _attribute_table(pairs, attributes)


def _attribute_table(pairs: Pairs, names: Sequence[str]) -> tuple[Tensor, list[bool]]:
    """[N, K], classes as codes and measures at 0 to 1 over targets, and which are classes."""
    is_target = pairs.is_target.numpy()
    columns, discrete = [], []
    for name in names:
        values = pairs.attributes[name]
        known = values[is_target]
        discrete.append(values.dtype.kind != "f")
        if (known == "").any() if discrete[-1] else not np.isfinite(known).all():
            raise UserError(f"attribute {name}: a target has no value; expected one for each")
        if discrete[-1]:
            codes = np.searchsorted(np.unique(values), values).astype(np.float64)
            columns.append(codes)
        else:
            span = known.max() - known.min()
            columns.append((values - known.min()) / (span or 1))
    table = np.stack(columns, 1) if columns else np.zeros((len(is_target), 0))
    return torch.from_numpy(table.astype(np.float32)), discrete


def _group() -> dist.ProcessGroup | None:
    return dist.group.WORLD if dist.is_available() and dist.is_initialized() else None
