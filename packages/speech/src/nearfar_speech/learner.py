"""A learner that goes from task to task; killed at any step, it goes on to the same numbers.

A plain loop, not SpeechBrain's Brain: that resumes by pickles and at the place of its loader, while
here all chance follows from the number of the step, and a checkpoint is one file of tensors.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from nearfar_kit.errors import UserError
from nearfar_kit.work import finite
from nearfar_speech.batches import Draw, Example, collate
from nearfar_speech.features import Features
from nearfar_speech.model import SpeechModel
from nearfar_speech.objective import Teacher, objective
from nearfar_speech.recognise import heard_in, pooled_features
from nearfar_speech.rehearsal import Memory, RehearsalBuffer
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.tokens import Tokens

__all__ = ["Learner"]

_BETAS, _EPS = (0.9, 0.98), 1e-6  # the author's
_WARM = 0.1  # share of a task's steps in which the cosine schedule rises


class Learner:
    """Trains a model task by task, with a rehearsal buffer and the last task's model as teacher.

    For each task: :meth:`begin`, :meth:`step` until ``done == steps``, :meth:`finish`.

    Attributes:
        task: how many tasks are learnt.
        done, steps: of the task that is being learnt.
        buffer: what is remembered of the tasks learnt.
        teacher: the model as the last task left it; None in the first.
    """

    def __init__(
        self,
        model: SpeechModel,
        tokens: Tokens,
        features: Features,
        buffer: RehearsalBuffer,
        settings: SpeechSettings,
        seed: int,
    ) -> None:
        if len(tokens) != model.vocabulary:
            raise UserError(
                f"tokenizer: has {len(tokens)} tokens; the model was made for {model.vocabulary}"
            )
        self.model, self.tokens, self.features = model, tokens, features
        self.buffer, self.settings, self.seed = buffer, settings, seed
        self.task = self.done = self.steps = 0
        self.teacher: Teacher | None = None
        self.loss = math.nan

    def begin(self, examples: Sequence[Example]) -> None:
        """Takes up a task.

        Args:
            examples: its training clips; their paths serve as the buffer's.
        """
        if not examples:
            raise UserError(f"task {self.task}: no training clip; expected some of each class")
        s = self.settings
        self.new = list(examples)
        self.model.allow({number for e in self.new for number in self.tokens.encode(e.target)})
        self.old = [Example(m.path, m.target, m.label, True) for m in self.buffer.memories]
        self.draw = Draw(len(self.new), len(self.old), s.batch, s.share, (self.seed, self.task))
        epochs = s.epochs if self.task else s.first_epochs
        self.done, self.steps = 0, epochs * self.draw.steps
        if self.teacher is not None and s.distil == "sequence":
            paths = [example.path for example in self.old]
            found = heard_in(self.teacher.model, self.features, paths, s)
            heard = {path: h.tokens for path, h in zip(paths, found, strict=True)}
            self.teacher = Teacher(self.teacher.model, heard)
        encoder = [p for p in self.model.encoder.parameters() if p.requires_grad]
        known = {id(p) for p in self.model.encoder.parameters()}
        rest = [p for p in self.model.parameters() if id(p) not in known]
        self.optimizer = torch.optim.AdamW(
            [{"params": encoder}, {"params": rest}],
            betas=_BETAS, eps=_EPS, weight_decay=s.weight_decay,
        )  # fmt: skip

    @finite
    def step(self) -> float:
        """One step; gives its loss."""
        # Chance follows from the step's number alone: a resumed run needs no state of it.
        words = np.random.SeedSequence([self.seed, self.task, self.done]).generate_state(2)
        torch.manual_seed(int(words[0]))
        fresh, old = self.draw.at(self.done)
        batch = collate(
            [*(self.new[n] for n in fresh), *(self.old[n] for n in old)],
            self.features,
            self.tokens,
            dropout=self.settings.dropout,
            draw=np.random.default_rng(int(words[1])),
            device=next(self.model.parameters()).device,
        )
        self.model.train()
        parts = objective(self.model, batch, self.settings, self.teacher)
        loss = torch.stack(list(parts.values())).sum()
        for group, rate in zip(self.optimizer.param_groups, self._rates(), strict=True):
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.done += 1
        self.loss = float(loss.detach())
        return self.loss

    def finish(self) -> list[Memory]:
        """Ends a task: fills the buffer, and the model becomes the teacher; gives what was kept."""
        clips = [Memory(e.path, e.target, e.label) for e in self.new]
        pooled = None
        if self.buffer.quota and self.buffer.selection != "random":
            pooled = pooled_features(self.model, self.features, [clip.path for clip in clips])
        chosen = self.buffer.add(clips, pooled) if self.buffer.quota else []
        self._become_teacher()
        self.task += 1
        self.done = self.steps = 0
        return chosen

    def state(self) -> dict[str, Any]:
        """All that is needed to go on; tensors, numbers and text."""
        return {
            "model": dict(self.model.state_dict()),
            "teacher": dict(self.teacher.model.state_dict()) if self.teacher else None,
            "optimizer": self.optimizer.state_dict() if self.done else None,
            "task": self.task,
            "done": self.done,
            "memories": [asdict(memory) for memory in self.buffer.memories],
        }

    def load_state(self, state: dict[str, Any], examples: Sequence[Example] = ()) -> None:
        """Goes on from ``state``.

        Args:
            examples: training clips of the task that was being learnt; needed where one was.
        """
        self.buffer.memories = [Memory(**memory) for memory in state["memories"]]
        self.task = state["task"]
        if state["teacher"] is not None:
            self.model.load_state_dict(state["teacher"])
            self._become_teacher()
        self.model.load_state_dict(state["model"])
        if examples:
            self.begin(examples)
        if state["done"]:
            self.optimizer.load_state_dict(state["optimizer"])
            self.done = state["done"]

    def _become_teacher(self) -> None:
        self.teacher = Teacher(copy.deepcopy(self.model).eval().requires_grad_(False))

    def _rates(self) -> tuple[float, float]:
        """Of the encoder and of the rest."""
        s, number = self.settings, self.done + 1
        if s.schedule == "noam":
            warm = self.draw.steps  # one epoch
            rate = s.width**-0.5 * min(number**-0.5, number * warm**-1.5)
        else:
            warm = max(1, round(_WARM * self.steps))
            fall = (number - warm) / max(1, self.steps - warm)
            rise = number / warm
            rate = s.learning_rate * (
                rise if number <= warm else (1 + math.cos(math.pi * fall)) / 2
            )
        share = s.encoder_share if self.model.encoder.pretrained else 1.0
        return rate * share, rate
