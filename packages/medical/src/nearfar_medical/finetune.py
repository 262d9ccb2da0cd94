"""Fine-tuning: all of the network on a few labelled frames, the best weights on validation kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss, DiceLoss
from torch import Tensor
from torch.nn.functional import one_hot

from nearfar_kit.errors import UserError
from nearfar_kit.work import finite
from nearfar_medical.augment import deformed, intensities, mixed
from nearfar_medical.frames import Frame, draw_slices
from nearfar_medical.network import Network
from nearfar_medical.segment import mean_dice, segment_frame
from nearfar_medical.settings import MedicalSettings

__all__ = ["Finetuning"]


class Finetuning:
    """Adam on soft Dice over all classes; its whole state is in :meth:`state`.

    Args:
        network: its weights are trained in place.
        training, validation: frames with masks; the latter choose the best weights.
        pretrained: whether the encoder has learnt before. It then moves at a share of the rate:
            at the whole rate it forgets within some hundred steps what it had learnt.

    Raises:
        UserError: no training or validation frames.
    """

    def __init__(
        self,
        network: Network,
        training: Sequence[Frame],
        validation: Sequence[Frame],
        settings: MedicalSettings,
        *,
        seed: int,
        pretrained: bool = False,
    ) -> None:
        for what, frames in (("training", training), ("validation", validation)):
            if not frames:
                raise UserError(f"labels: no {what} volume has a mask; expected at least one")
        self.network, self.settings, self.seed = network, settings, seed
        self.training, self.validation = training, validation
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        encoder = network.up_to(0)
        known = set(encoder)
        rest = [p for p in network.parameters() if p not in known]
        self.shares = (settings.encoder_share if pretrained else 1.0, 1.0)
        self.optimizer = torch.optim.Adam([{"params": encoder}, {"params": rest}])
        # The paper's Dice of each image tells nothing of a structure found where there is none:
        # it is 0 for any prediction on a slice without it.
        self.criterion = (
            DiceLoss(softmax=True)
            if settings.loss == "dice"
            else DiceCELoss(softmax=True, batch=True)
        )
        self.generator = torch.Generator()
        self.done, self.best, self.best_step = 0, -1.0, 0
        self.loss = math.nan
        self.kept = copy.deepcopy(network.state_dict())

    @finite
    def step(self) -> float:
        """One step, and validation where it is due; gives the step's loss."""
        s = self.settings
        words = np.random.SeedSequence([self.seed, 7, self.done]).generate_state(1)
        self.generator.manual_seed(int(words[0]))
        depth = s.depth if s.dims == 3 else None
        image, mask = draw_slices(self.training, s.tuned_batch, depth, self.generator)
        device = next(self.network.parameters()).device
        image, mask = image.to(device), mask.to(device)
        if s.deform:
            image, mask = deformed(image, mask, self.generator, flip=s.flip)
        if s.intensities:
            image = intensities(image, self.generator, brightness=0.1, contrast=0.2)
        target = _one_hot(mask, self.network.classes)
        if s.mixup:
            image, target = mixed(image, target, self.generator)
        self.network.train()
        loss = self.criterion(self.network(image), target)
        rate = s.tuned_learning_rate * (1 + math.cos(math.pi * self.done / s.tuned_steps)) / 2
        for group, share in zip(self.optimizer.param_groups, self.shares, strict=True):
            group["lr"] = rate * share
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.done += 1
        self.loss = float(loss.detach())
        if self.done % s.validate_every == 0 or self.done == s.tuned_steps:
            self._validate()
        return self.loss

    def _validate(self) -> None:
        scores = [
            mean_dice(segment_frame(self.network, frame, self.settings), frame.mask,
                      self.network.classes)
            for frame in self.validation
        ]  # fmt: skip
        score = float(np.nanmean(scores))
        if score > self.best:
            self.best, self.best_step = score, self.done
            self.kept = copy.deepcopy(self.network.state_dict())

    def shown(self) -> dict[str, float]:
        """What a progress bar tells beside the loss."""
        return {"best": self.best} if self.best >= 0 else {}

    def run(self) -> None:
        """All steps that are left, and then the best weights."""
        while self.done < self.settings.tuned_steps:
            self.step()
        self.finish()

    def finish(self) -> None:
        """The network takes the best weights."""
        self.network.load_state_dict(self.kept)

    def state(self) -> dict[str, Any]:
        return {
            "network": dict(self.network.state_dict()),
            "kept": dict(self.kept),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "best": self.best,
            "best_step": self.best_step,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.kept = state["kept"]
        self.done, self.best, self.best_step = state["done"], state["best"], state["best_step"]


def _one_hot(mask: Tensor, classes: int) -> Tensor:
    """[B, ...] -> [B, classes, ...]."""
    return one_hot(mask, classes).movedim(-1, 1).float()
