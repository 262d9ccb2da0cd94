"""Class-incremental tasks: which classes come when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nearfar_kit.errors import UserError
from nearfar_speech.clip import Clip

__all__ = ["CURRICULA", "By", "Curriculum", "make_curriculum"]

By = Literal["intent", "scenario"]

# The author's order of SLURP's scenarios, the most populated first within alphabetical blocks.
_SLURP = (
    "calendar", "email", "general", "play", "qa", "social",
    "alarm", "audio", "cooking", "datetime", "iot", "lists",
    "music", "news", "recommendation", "takeaway", "transport", "weather",
)  # fmt: skip
# The author's order of Fluent Speech Commands' intents, as places in their sorted list.
_FSC = (19, 27, 30, 28, 15, 4, 2, 9, 10, 22, 11, 7, 1, 25, 16, 14, 5, 8, 29, 12, 21, 17, 3, 20, 23,
        6, 18, 24, 26, 0, 13)  # fmt: skip
# name: by what, how many classes a task. The sizes of FSC's are ours: the paper gives none.
CURRICULA: dict[str, tuple[By, tuple[int, ...]]] = {
    "fsc-3": ("intent", (11, 10, 10)),
    "fsc-6": ("intent", (6, 5, 5, 5, 5, 5)),
    "slurp-3": ("scenario", (6, 6, 6)),
    "slurp-6": ("scenario", (3, 3, 3, 3, 3, 3)),
}


@dataclass(frozen=True)
class Curriculum:
    """Disjoint classes of each task, in the order of learning.

    Raises:
        UserError: no task, a task without classes, or a class in two places.
    """

    by: By
    tasks: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if self.by not in ("intent", "scenario"):
            raise UserError(f"tasks are by {self.by!r}; expected intent or scenario")
        if not all(isinstance(name, str) for name in self.classes):
            raise UserError("tasks: a class is no name")
        if not self.tasks or not all(self.tasks):
            raise UserError("tasks: one has no class; expected one or more in each")
        twice = [name for name, count in Counter(self.classes).items() if count > 1]
        if twice:
            raise UserError(f"tasks: class {twice[0]!r} is named twice; expected disjoint tasks")

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, in the order of learning."""
        return tuple(name for task in self.tasks for name in task)

    def seen(self, task: int) -> tuple[str, ...]:
        """Classes known after task ``task``, which counts from 0."""
        return tuple(name for names in self.tasks[: task + 1] for name in names)

    def class_of(self, clip: Clip) -> str:
        """The clip's intent or scenario."""
        return clip.intent if self.by == "intent" else clip.scenario

    def task_of(self, clip: Clip) -> int:
        """The task that teaches the clip's class; UserError where none does."""
        name = self.class_of(clip)
        for number, names in enumerate(self.tasks):
            if name in names:
                return number
        raise UserError(
            f"{clip.path}: {self.by} {name!r} is in no task; expected a class of theirs"
        )

    def clips_of(self, clips: Iterable[Clip], task: int) -> tuple[Clip, ...]:
        """The clips whose class task ``task`` teaches."""
        names = set(self.tasks[task])
        return tuple(clip for clip in clips if self.class_of(clip) in names)

    def check_trained(self, trained: Iterable[Clip], tested: Iterable[Clip]) -> None:
        """Raises UserError where a tested clip's class or intent has no training clip."""
        trained = tuple(trained)
        classes = {self.class_of(clip) for clip in trained}
        intents = {clip.intent for clip in trained}
        for name in self.classes:
            if name not in classes:
                raise UserError(f"{self.by} {name!r} has no training clip; expected some of each")
        for clip in tested:
            if self.class_of(clip) not in classes or clip.intent not in intents:
                what = clip.intent if clip.intent not in intents else self.class_of(clip)
                raise UserError(f"{clip.path}: {what!r} is tested and was never trained")

    def with_task(self, classes: Sequence[str]) -> Curriculum:
        """This curriculum and one more task after its last."""
        return Curriculum(self.by, (*self.tasks, tuple(classes)))


def make_curriculum(
    clips: Iterable[Clip],
    by: By = "intent",
    *,
    splits: str | Sequence[Sequence[str]] = "",
    tasks: int = 5,
    order: Sequence[str] | None = None,
    seed: int | None = None,
) -> Curriculum:
    """Tasks for the classes among ``clips``.

    Args:
        by: what a class is.
        splits: a name of ``CURRICULA``, whose order and ``by`` hold then; or the classes of each
            task; "": as many even tasks as ``tasks``, the earlier ones larger by one where classes
            do not divide.
        order: all classes, for even tasks; None: sorted by name.
        seed: shuffles the order; None: it stays.

    Raises:
        UserError: an unknown name or class, a class left out, more tasks than classes, or clips
            that a named curriculum does not fit.

    Example:
        >>> from pathlib import Path
        >>> clips = [Clip(Path(f"{n}.wav"), n) for n in ("on", "off", "up")]
        >>> make_curriculum(clips, tasks=2).tasks
        (('off', 'on'), ('up',))
    """
    clips = tuple(clips)
    if splits and isinstance(splits, str):
        if splits not in CURRICULA:
            raise UserError(f"splits {splits!r}: expected one of {', '.join(CURRICULA)}")
        by, sizes = CURRICULA[splits]
        known = _known(clips, by)
        order = _named_order(splits, known, sum(sizes))
    elif splits:
        known = _known(clips, by)
        curriculum = Curriculum(by, tuple(tuple(names) for names in splits))
        _check_same(curriculum.classes, known, by)
        return curriculum
    else:
        known = _known(clips, by)
        order = known if order is None else tuple(order)
        if not 1 <= tasks <= len(known):
            raise UserError(
                f"tasks: {tasks} of {len(known)} classes; expected 1 to {len(known)} "
                "(tasks=1 learns all at once)"
            )
        larger = len(known) % tasks
        sizes = tuple(len(known) // tasks + (task < larger) for task in range(tasks))
    if len(set(order)) != len(order):
        raise UserError("order: a class is named twice; expected each once")
    _check_same(order, known, by)
    if seed is not None:
        order = [order[i] for i in np.random.default_rng(seed).permutation(len(order))]
    ends = np.cumsum(sizes).tolist()
    return Curriculum(
        by, tuple(tuple(order[end - n : end]) for end, n in zip(ends, sizes, strict=True))
    )


def _known(clips: Sequence[Clip], by: By) -> tuple[str, ...]:
    """The classes there are, sorted."""
    if by not in ("intent", "scenario"):
        raise UserError(f"tasks are by {by!r}; expected intent or scenario")
    if not clips:
        raise UserError("no clips to make tasks of; expected some of each class")
    for clip in clips:
        if not getattr(clip, by):
            raise UserError(f"{clip.path}: has no {by}; expected one, for tasks are made by it")
    return tuple(sorted({str(getattr(clip, by)) for clip in clips}))


def _named_order(name: str, known: Sequence[str], expected: int) -> tuple[str, ...]:
    if len(known) != expected:
        raise UserError(f"splits {name}: the clips have {len(known)} classes; expected {expected}")
    if name.startswith("fsc"):
        return tuple(known[place] for place in _FSC)
    return _SLURP


def _check_same(ours: Sequence[str], known: Sequence[str], by: str) -> None:
    for name in ours:
        if name not in known:
            raise UserError(f"tasks: no clip has {by} {name!r}; the clips have {', '.join(known)}")
    for name in known:
        if name not in ours:
            raise UserError(f"tasks: {by} {name!r} of the clips is in no task; expected all")
