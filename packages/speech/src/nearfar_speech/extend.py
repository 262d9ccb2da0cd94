"""One more task for a curriculum that was learnt."""

from __future__ import annotations

from dataclasses import replace

from nearfar_kit.errors import UserError
from nearfar_speech.clip import ClipSet
from nearfar_speech.prepare import Prepared, few, short_enough
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.splits import leave_speakers_out, split_by_share
from nearfar_speech.targets import Target

__all__ = ["extended"]


def extended(
    prepared: Prepared, found: ClipSet, settings: SpeechSettings, seed: int = 0
) -> Prepared:
    """The curriculum with the classes of ``found`` as its last task.

    Tokens and the buffer's quota stay. The speakers that the settings leave out of training are
    left out here too, those of them that the clips have. Else clips without a split are training
    clips where some have one; where none has, they are split by share. Of each class's training
    clips ``clips_per_class`` are taken.

    Args:
        seed: of that choice; the one that the curriculum was prepared with.

    Raises:
        UserError: a clip or a class was learnt already, a target cannot be spelt with the tokens, a
            class has no training clip, speakers are left out and a clip has none.
    """
    found = short_enough(found, settings)
    clips = found.clips
    if settings.test_speakers or settings.valid_speakers:
        there = {clip.speaker for clip in clips}
        test, valid = (
            [name for name in names if name in there]
            for names in (settings.test_speakers, settings.valid_speakers)
        )
        clips = leave_speakers_out(clips, test, valid)
    elif not any(clip.split for clip in clips):
        clips = split_by_share(clips)
    clips = tuple(clip if clip.split else replace(clip, split="train") for clip in clips)
    by, known = prepared.curriculum.by, set(prepared.curriculum.classes)
    names = [prepared.curriculum.class_of(clip) for clip in clips]
    for clip, name in zip(clips, names, strict=True):
        if not name:
            raise UserError(f"{clip.path}: has no {by}; expected a class")
        if name in known:
            raise UserError(
                f"{clip.path}: {by} {name!r} is in the curriculum; a task has new classes alone (a "
                "stopped run goes on by --resume without --task)"
            )
    known_clips = {clip.path.resolve(): clip for clip in prepared.clips}
    for clip in clips:
        if (old := known_clips.get(clip.path.resolve())) is not None:
            raise UserError(
                f"{clip.path}: is a clip of the run already, of intent {old.intent!r}; expected a "
                "task of new clips alone"
            )
        target = Target.of(clip).text
        if unknown := prepared.tokens.unknown(target):
            raise UserError(
                f"{clip.path}: the tokenizer does not know {', '.join(map(repr, unknown))} of the "
                f"target {target!r}; expected characters that it knows (one that is learnt in a "
                "new run knows all)"
            )
    curriculum = prepared.curriculum.with_task(sorted(set(names)))
    if settings.clips_per_class is not None:
        clips = tuple(few(clips, curriculum, settings.clips_per_class, seed))
    trained = [clip for clip in (*prepared.clips, *clips) if clip.split == "train"]
    curriculum.check_trained(trained, [clip for clip in clips if clip.split != "train"])
    left_out = prepared.left_out + sum(fault.drops for fault in found.faults)
    return replace(
        prepared, curriculum=curriculum, clips=(*prepared.clips, *clips), left_out=left_out
    )
