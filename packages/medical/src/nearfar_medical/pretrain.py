"""Pre-training: global contrast of the encoder, then local contrast of the decoder's first blocks.

Chaitanya et al. 2020 (arXiv 2006.10511). Both stages see unlabelled frames alone and are resumable
to the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from nearfar.functional import global_volumetric, local_volumetric
from nearfar_kit.errors import UserError
from nearfar_kit.work import finite
from nearfar_medical.augment import cropped, intensities
from nearfar_medical.frames import Frame, draw_parts
from nearfar_medical.network import GlobalHead, LocalHead, Network
from nearfar_medical.regions import neighbours_of, region_corners
from nearfar_medical.restore import RestorationStage
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.strategies import STRATEGIES

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["GlobalStage", "LocalStage", "Stage", "pretraining_stages"]


class GlobalStage(nn.Module):
    """Images of one part of any volume are alike, those of other parts are not."""

    name = "global"

    def __init__(self, network: Network, settings: MedicalSettings) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        self.strategy = STRATEGIES[settings.global_strategy]
        self.head = GlobalHead(network.dims, network.widths[-1])

    def trained(self) -> list[nn.Parameter]:
        return [*self.network.up_to(0), *self.head.parameters()]

    def forward(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Images [m S, C, ...], part by part of each volume -> the loss []."""
        s = self.settings
        versions = [x] if self.strategy.plain else []
        for _ in range(self.strategy.augmented):
            view = cropped(x, generator, share=s.crop)
            versions.append(
                intensities(view, generator, brightness=s.brightness, contrast=s.contrast)
            )
        z = self.head(self.network.encode(torch.cat(versions))[-1])
        volumes = len(x) // s.parts
        return global_volumetric(
            z,
            self.strategy.positives(volumes, s.parts).to(z.device),
            self.strategy.place(volumes, s.parts).to(z.device),
            temperature=s.temperature,
            group=_group(),
        )


class LocalStage(nn.Module):
    """A region is alike in two versions of an image, and unlike the regions near it."""

    name = "local"

    def __init__(self, network: Network, settings: MedicalSettings) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        self.head = LocalHead(
            network.dims, network.map_widths(settings.local_depth), side=settings.region
        )

    def trained(self) -> list[nn.Parameter]:
        return [*self.network.up_to(self.settings.local_depth), *self.head.parameters()]

    def train(self, mode: bool = True) -> LocalStage:
        """The frozen encoder keeps the running means of its normalisation too."""
        super().train(mode)
        for block in self.network.levels()[0]:
            block.eval()
        return self

    def forward(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Images [m S, C, ...], part by part of each volume -> the loss []."""
        s = self.settings
        # Intensity alone: a crop would undo the correspondence of places.
        views = [
            intensities(x, generator, brightness=s.brightness, contrast=s.contrast)
            for _ in range(2)
        ]
        with torch.no_grad():
            maps = self.network.encode(torch.cat(views))
        level = self.network.decode(maps, s.local_depth)
        corners = region_corners(tuple(level.shape[2:]), side=s.region)
        near = neighbours_of(corners, min(s.neighbours, len(corners) - 1)).to(x.device)
        a, b = self.head(level, corners).chunk(2)  # m S x R x D
        loss = local_volumetric(a, b, near, temperature=s.temperature, group=_group())
        if s.local_strategy == "LD":
            # The same part in the next volume, and in the one after it where there are three.
            volumes = len(x) // s.parts
            for step in range(1, min(3, volumes)):
                loss = loss + local_volumetric(
                    a, a.roll(-step * s.parts, 0), near, symmetric=False,
                    temperature=s.temperature, group=_group(),
                )  # fmt: skip
        return loss


def pretraining_stages(
    network: Network, settings: MedicalSettings
) -> list[GlobalStage | LocalStage]:
    """The stages that the settings ask for, in their order."""
    stages: list[GlobalStage | LocalStage] = []
    if settings.global_strategy != "none":
        stages.append(GlobalStage(network, settings))
    if settings.local_strategy != "none":
        stages.append(LocalStage(network, settings))
    return stages


class Stage:
    """The optimisation of one stage by Adam; its whole state is in :meth:`state`.

    On several processes each draws volumes of its own, and the loss is that of the batches of all.

    Raises:
        UserError: a frame has fewer slices than parts.
    """

    def __init__(
        self,
        task: GlobalStage | LocalStage | RestorationStage,
        frames: Sequence[Frame],
        *,
        steps: int,
        seed: int,
        fabric: Fabric | None = None,
    ) -> None:
        if not frames:
            raise UserError("pre-training: no volumes; expected at least one")
        self.raw_task, self.frames, self.steps, self.seed = task, frames, steps, seed
        self.fabric = fabric
        self.done, self.loss = 0, math.nan
        self.rank = 0 if fabric is None else fabric.global_rank
        self.generator = torch.Generator()
        # The first stage's encoder stays as it is in the second.
        for parameter in task.parameters():
            parameter.requires_grad_(False)
        for parameter in task.trained():
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.Adam(task.trained(), lr=task.settings.learning_rate)
        self.task: Any = task
        if fabric is not None:
            self.task, self.optimizer = fabric.setup(task, self.optimizer)

    @finite
    def step(self) -> float:
        """One step; gives its loss."""
        settings = self.raw_task.settings
        # Chance follows from the step's number alone: a resumed run needs no state of it.
        words = np.random.SeedSequence([self.seed, self.rank, self.done]).generate_state(2)
        self.generator.manual_seed(int(words[0]))
        count = min(settings.volumes, len(self.frames))
        order = torch.randperm(len(self.frames), generator=self.generator)[:count].tolist()
        depth = settings.depth if settings.dims == 3 else None
        images = draw_parts([self.frames[n] for n in order], settings.parts, depth, self.generator)
        if self.fabric is not None:
            images = images.to(self.fabric.device)
        self.task.train()
        loss = self.task(images, self.generator)
        self.optimizer.zero_grad()
        if self.fabric is None:
            loss.backward()
        else:
            self.fabric.backward(loss)
        self.optimizer.step()
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
            "done": self.done,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.raw_task.load_state_dict(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = state["done"]


def _group() -> dist.ProcessGroup | None:
    return dist.group.WORLD if dist.is_available() and dist.is_initialized() else None
