"""A whole curriculum: each task learnt, then tested on the classes seen so far."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.progress import Progress
from nearfar_kit.run import RunFolder
from nearfar_kit.stopping import stops_between_steps
from nearfar_speech.answers import Answer, read_answers, write_answers
from nearfar_speech.encoders import Encoder, make_encoder
from nearfar_speech.features import Features
from nearfar_speech.learner import Learner
from nearfar_speech.model import SpeechModel
from nearfar_speech.prepare import Prepared
from nearfar_speech.recognise import recognise
from nearfar_speech.rehearsal import RehearsalBuffer
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.targets import Target

__all__ = ["answers_after", "learn_curriculum", "new_encoder", "new_learner", "new_model"]

_SAVE_EVERY = 60.0  # seconds between checkpoints within a task


def new_encoder(settings: SpeechSettings) -> Encoder:
    """The encoder that the settings name; UserError where it cannot be had."""
    if settings.encoder == "speech_embedding":
        return make_encoder(settings.encoder, frozen=settings.frozen)
    return make_encoder(settings.encoder)


def new_model(
    settings: SpeechSettings, vocabulary: int, seed: int = 0, *, encoder: Encoder | None = None
) -> SpeechModel:
    """A network as the settings say, its new weights drawn from the seed.

    Args:
        encoder: of :func:`new_encoder`, where it is there.

    Raises:
        UserError: the encoder cannot be had.
    """
    s = settings
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SpeechModel(
            encoder or new_encoder(s), vocabulary, width=s.width, layers=s.layers,
            heads=s.heads, dropout=s.network_dropout, contrast=s.contrast,
        )  # fmt: skip


def new_learner(
    prepared: Prepared,
    settings: SpeechSettings,
    seed: int = 0,
    *,
    model: SpeechModel | None = None,
) -> Learner:
    """A learner before its first task; ``model``: of :func:`new_model`, where it is there."""
    if model is None:
        model = new_model(settings, len(prepared.tokens), seed)
    model.silence(prepared.tokens.bytes)
    buffer = RehearsalBuffer(prepared.quota, settings.selection, seed)
    return Learner(model, prepared.tokens, Features(model.encoder), buffer, settings, seed)


def learn_curriculum(
    learner: Learner,
    prepared: Prepared,
    run: RunFolder | None = None,
    *,
    test: str = "test",
    quiet: bool = True,
) -> list[list[Answer]]:
    """Learns the tasks that are left; gives the answers after each task, the earlier ones with it.

    With a run folder, answers are written to ``answers/`` after each task, the state to
    ``checkpoint/state.safetensors`` now and then, and what lies there is gone on from.

    Args:
        test: the split to answer.

    Raises:
        KeyboardInterrupt: after what is done was saved.
    """
    state = run.checkpoint / "state.safetensors" if run is not None else None
    answers: list[list[Answer]] = []
    going = False
    if state is not None and state.exists():
        kept = load_checkpoint(state)
        going = bool(kept["done"])
        learner.load_state(kept, prepared.training(kept["task"]) if going else ())
    if run is not None:
        answers = [read_answers(_answers(run, task)) for task in range(learner.task)]
    with torch.random.fork_rng():
        for task in range(learner.task, len(prepared.curriculum)):
            if not going:
                learner.begin(prepared.training(task))
            going = False
            _learn_task(learner, state, f"task {task + 1} of {len(prepared.curriculum)}", quiet)
            learner.finish()
            answers.append(answers_after(learner, prepared, task, test))
            if run is not None:
                write_answers(_answers(run, task), answers[-1])
                run.log("task", task=task, loss=learner.loss, memories=len(learner.buffer))
            if state is not None:
                save_checkpoint(state, learner.state())
    return answers


def answers_after(
    learner: Learner, prepared: Prepared, task: int, test: str = "test"
) -> list[Answer]:
    """The learner's answers on the classes seen up to ``task``."""
    clips = [(n, clip) for n in range(task + 1) for clip in prepared.of(test, n)]
    found = recognise(
        learner.model, learner.tokens, learner.features, [str(clip.path) for _, clip in clips],
        learner.settings,
    )  # fmt: skip
    return [
        Answer(answer.path, n, Target.of(clip).text, answer.text, answer.score)
        for (n, clip), answer in zip(clips, found, strict=True)
    ]


def _learn_task(learner: Learner, state: Path | None, what: str, quiet: bool) -> None:
    saved = time.monotonic()
    with (
        stops_between_steps() as request,
        Progress(what, learner.steps, done=learner.done, quiet=quiet) as bar,
    ):
        while learner.done < learner.steps and not request.asked:
            bar.advance(loss=learner.step())
            if state is not None and time.monotonic() - saved > _SAVE_EVERY:
                save_checkpoint(state, learner.state())
                saved = time.monotonic()
        if request.asked and state is not None:
            save_checkpoint(state, learner.state())


def _answers(run: RunFolder, task: int) -> Path:
    folder = run.path / "answers"
    folder.mkdir(exist_ok=True)
    return folder / f"task_{task}.jsonl"
