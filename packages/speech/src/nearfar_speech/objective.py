"""The loss of a batch: spelling the target, contrast, distillation (Cappellazzo et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from nearfar.functional import info_nce, nspt, sup_con
from nearfar_speech.batches import Batch, spelt
from nearfar_speech.model import Heard, SpeechModel
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.tokens import PAD

__all__ = ["Teacher", "matching", "objective", "spelling"]


@dataclass(frozen=True)
class Teacher:
    """The model of the task before, and what it heard in each clip of the buffer, by path (for
    sequence distillation alone)."""

    model: SpeechModel
    heard: Mapping[str, Sequence[int]] = field(default_factory=dict)


def objective(
    model: SpeechModel, batch: Batch, settings: SpeechSettings, teacher: Teacher | None = None
) -> dict[str, Tensor]:
    """The parts of the loss by name, weighted; their sum is the loss.

    Args:
        teacher: None in the first task.
    """
    s = settings
    heard = model.hear(batch.features, batch.lengths)
    logits = model.spell(heard, batch.tokens[:, :-1])
    parts = {"asr": spelling(logits, batch.tokens)}
    old = batch.rehearsal
    theirs = None
    if teacher is not None and bool(old.any()):
        with torch.no_grad():
            theirs = teacher.model.hear(batch.features[old], batch.lengths[old])
    if s.distil != "none" and teacher is not None and theirs is not None:
        weight = math.sqrt(int(old.sum()) / len(batch))
        parts["asr"] = (1 - weight) * parts["asr"]
        parts["kd"] = weight * _distillation(model, batch, heard, logits, s, teacher, theirs)
    audio = model.audio(heard) if s.mm or s.nspt or s.scr else None
    if audio is None:
        return parts
    if s.mm:
        parts["mm"] = s.mm * matching(
            audio, model.text(batch.tokens), batch, s.mm_positives, s.mm_on, s.temperature
        )
    if s.nspt and theirs is not None and teacher is not None:
        with torch.no_grad():
            view = _teacher_view(audio, batch, teacher.model, theirs, s.design)
        parts["nspt"] = s.nspt * nspt(
            audio, view, batch.labels, old, design=s.design, temperature=s.temperature
        )
    elif s.nspt and s.first_contrast and teacher is None:
        parts["nspt"] = s.nspt * _by_class(audio, batch.labels, s.temperature)
    if s.scr:
        parts["scr"] = s.scr * _by_class(audio, batch.labels, s.temperature)
    return parts


def spelling(logits: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy of logits [B, n - 1, V] for tokens [B, n] after SOS: the mean over each clip's
    own tokens, EOS with them, then over clips."""
    truth = tokens[:, 1:]
    losses = cross_entropy(logits.transpose(1, 2), truth, reduction="none")  # B x n - 1
    there = truth != PAD
    return ((losses * there).sum(1) / there.sum(1)).mean()


def matching(
    audio: Tensor, text: Tensor, batch: Batch, positives: str, on: str, temperature: float
) -> Tensor:
    """Audio [B, C] finds its text and text its audio, among those of the whole batch.

    Args:
        positives: ``pair``, the clip's own, clips of the same target string then being no
            negatives; or ``class``, all of its class.
        on: ``new`` or ``all``, whose clips are anchors.
    """
    rows = ~batch.rehearsal if on == "new" else torch.ones_like(batch.rehearsal)
    both = ((audio, text), (text, audio))
    if positives == "class":
        ways = [
            sup_con(
                anchors[rows], batch.labels[rows], reference=others,
                reference_labels=batch.labels, temperature=temperature,
            )
            for anchors, others in both
        ]  # fmt: skip
        return (ways[0] + ways[1]) / 2
    alike = _listed(batch.texts[rows])
    # A rehearsed clip is of another class: no anchor's target is its.
    rest = ~rows
    ways = [
        info_nce(
            anchors[rows], others[rows], ignored=alike, temperature=temperature,
            negatives=others[rest] if bool(rest.any()) else None,
        )
        for anchors, others in both
    ]  # fmt: skip
    return (ways[0] + ways[1]) / 2


def _listed(texts: Tensor) -> Tensor:
    """[N] codes -> [N, k] numbers of the rows of the same code, -1 where there are fewer."""
    same = texts[:, None] == texts[None]
    order = (~same).long().argsort(dim=1, stable=True)
    listed = order.masked_fill(~same.gather(1, order), -1)
    return listed[:, : int(same.sum(1).max())]


def _teacher_view(
    audio: Tensor, batch: Batch, teacher: SpeechModel, theirs: Heard, design: str
) -> Tensor:
    """The batch as the teacher hears it, [B, C].

    Positives of rehearsed clips are rehearsed: the other rows are looked at by ``ntpt`` alone.
    """
    if design == "ntpt":
        return teacher.audio(teacher.hear(batch.features, batch.lengths))
    view = audio.detach().clone()
    view[batch.rehearsal] = teacher.audio(theirs)
    return view


def _by_class(audio: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrast of the batch; 0 where no class comes twice."""
    if len(torch.unique(labels)) == len(labels):
        return audio.sum() * 0
    return sup_con(audio, labels, temperature=temperature)


def _distillation(
    model: SpeechModel,
    batch: Batch,
    heard: Heard,
    logits: Tensor,
    settings: SpeechSettings,
    teacher: Teacher,
    theirs: Heard,
) -> Tensor:
    old = batch.rehearsal
    own = heard.rows(old)
    if settings.distil == "audio":
        return mse_loss(own.mean(), theirs.mean())
    if settings.distil == "sequence":
        paths = [example.path for example in batch.examples if example.rehearsal]
        told = spelt([teacher.heard[path] for path in paths]).to(logits.device)
        return spelling(model.spell(own, told[:, :-1]), told)
    tokens, tau = batch.tokens[old], settings.distil_temperature
    with torch.no_grad():
        known = teacher.model.spell(theirs, tokens[:, :-1]) / tau
    soft = known.softmax(dim=2).transpose(1, 2)
    # Cross-entropy less the teacher's own entropy: KL(teacher || student).
    losses = cross_entropy((logits[old] / tau).transpose(1, 2), soft, reduction="none")
    losses = losses - cross_entropy(known.transpose(1, 2), soft, reduction="none")
    there = tokens[:, 1:] != PAD
    return tau**2 * ((losses * there).sum(1) / there.sum(1)).mean()
