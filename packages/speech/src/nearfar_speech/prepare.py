"""From a data set to what a learner begins with: tasks, splits, tokens and the buffer's quota."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from nearfar_kit.errors import UserError
from nearfar_speech.batches import Example
from nearfar_speech.clip import Clip, ClipSet, Fault
from nearfar_speech.rehearsal import quota_of
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.splits import leave_speakers_out, split_by_share
from nearfar_speech.targets import Target
from nearfar_speech.tasks import Curriculum, make_curriculum
from nearfar_speech.tokens import Tokens

__all__ = ["Prepared", "examples_of", "prepare", "short_enough", "split_clips"]


@dataclass(frozen=True)
class Prepared:
    """A curriculum with its clips.

    Attributes:
        clips: of all splits.
        quota: clips a class in the rehearsal buffer.
        left_out: clips that could not be read or were too long.
    """

    curriculum: Curriculum
    clips: tuple[Clip, ...]
    tokens: Tokens
    quota: int
    left_out: int = 0

    def of(self, split: str, task: int) -> tuple[Clip, ...]:
        """The clips of one split whose classes the task teaches."""
        own = (clip for clip in self.clips if clip.split == split)
        return self.curriculum.clips_of(own, task)

    def memory_note(self, memory: float) -> str:
        """What is kept where the setting's share of the training clips is less than one a class;
        "" where it is not."""
        classes = len(self.curriculum.classes)
        clips = sum(clip.split == "train" for clip in self.clips)
        if not 0 < memory < 1 or round(memory * clips) >= classes:
            return ""
        return (
            f"memory: {memory:g} of {clips} training clips is less than one a class; {classes} are "
            "kept, one a class"
        )

    def training(self, task: int) -> list[Example]:
        return examples_of(self.of("train", task), self.curriculum)


def prepare(
    found: ClipSet,
    settings: SpeechSettings,
    seed: int = 0,
    tokens: Tokens | None = None,
    *,
    byte_fallback: bool = False,
) -> Prepared:
    """Splits where there are none, tasks, tokens of the training texts, the quota.

    Args:
        tokens: instead of ones to be trained.
        byte_fallback: whether those to be trained spell the words of tasks to come as well,
            whatever their characters.

    Raises:
        UserError: a class without training clips, a tested intent that was never trained, a
            buffer larger than the data, or told in clips and smaller than one a class; what tasks,
            splits and tokens raise.
    """
    s = settings
    found = short_enough(found, s)
    clips = split_clips(found.clips, s)
    curriculum = make_curriculum(
        clips, s.by, splits=s.splits, tasks=s.tasks,
        seed=seed if s.shuffled and not s.splits else None,
    )  # fmt: skip
    if s.clips_per_class is not None:
        clips = few(clips, curriculum, s.clips_per_class, seed)
    trained = [clip for clip in clips if clip.split == "train"]
    others = [clip for clip in clips if clip.split != "train"]
    curriculum.check_trained(trained, others)
    quota = quota_of(s.memory, len(curriculum.classes), len(trained)) if s.memory else 0
    if tokens is None:
        texts = [Target.of(clip).text for clip in trained]
        tokens = Tokens.train(texts, s.vocabulary, byte_fallback=byte_fallback)
    left_out = sum(fault.drops for fault in found.faults)
    return Prepared(curriculum, (*trained, *others), tokens, quota, left_out)


def short_enough(found: ClipSet, settings: SpeechSettings) -> ClipSet:
    """Without the clips whose target string is longer than ``max_characters``; they are faults."""
    kept, faults = [], list(found.faults)
    for clip in found.clips:
        size = len(Target.of(clip).text)
        if size > settings.max_characters:
            detail = (
                f"has {size} characters of intent, slots and transcript together; expected at most "
                f"{settings.max_characters}"
            )
            faults.append(Fault("target too long", clip.path, detail))
        else:
            kept.append(clip)
    if not kept:
        raise UserError(
            f"{found.name}: all {len(found)} targets are longer than max_characters, "
            f"{settings.max_characters}; expected shorter ones"
        )
    return replace(found, clips=tuple(kept), faults=tuple(faults))


def split_clips(clips: Sequence[Clip], settings: SpeechSettings) -> tuple[Clip, ...]:
    """Splits by speakers where the settings name some, else the data set's own, else by share; the
    same at every seed, so that all are tested alike.

    Raises:
        UserError: some clips have a split and others none.
    """
    if settings.test_speakers or settings.valid_speakers:
        return leave_speakers_out(clips, settings.test_speakers, settings.valid_speakers)
    without = [clip for clip in clips if not clip.split]
    if not without:
        return tuple(clips)
    if len(without) < len(clips):
        raise UserError(f"{without[0].path}: has no split; expected one, for other clips have one")
    return split_by_share(clips)


def examples_of(clips: Iterable[Clip], curriculum: Curriculum) -> list[Example]:
    """What a learner takes, of clips."""
    return [Example(str(c.path), Target.of(c).text, curriculum.class_of(c)) for c in clips]


def few(clips: Sequence[Clip], curriculum: Curriculum, count: int, seed: int) -> tuple[Clip, ...]:
    """``count`` training clips of each class, drawn from the seed, and all others."""
    kept: list[Clip] = []
    for name in curriculum.classes:
        own = [c for c in clips if c.split == "train" and curriculum.class_of(c) == name]
        order = np.random.default_rng([seed, crc32(name.encode())]).permutation(len(own))
        kept += [own[n] for n in sorted(order[:count].tolist())]
    return (*kept, *(clip for clip in clips if clip.split != "train"))
