"""The loss of a batch, against the paper's formulas written as loops in float64."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn.functional import normalize

from nearfar_speech.batches import Batch, Example
from nearfar_speech.encoders import make_encoder
from nearfar_speech.model import SpeechModel
from nearfar_speech.objective import Teacher, matching, objective, spelling
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.tokens import EOS, PAD, SOS

TAU = 0.1
PLAIN = {"mm": 0.0, "nspt": 0.0}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = SpeechModel(
        make_encoder(frozen=5), 20, width=16, layers=1, heads=2, contrast=8, dropout=0.0
    )
    return made.double()


@pytest.fixture(scope="module")
def teacher(model):
    made = copy.deepcopy(model).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():
            p += 0.05 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return Teacher(made, {f"{n}.wav": (5 + n, 6) for n in range(7)})


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(2)
    lengths = torch.tensor([9, 12, 10, 9, 11, 14, 9])
    features = torch.randn(7, 14, 1, 96, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3])
    texts = torch.tensor([0, 0, 1, 2, 3, 4, 5])  # the first two say the same
    rehearsal = torch.tensor([False] * 4 + [True] * 3)
    tokens = torch.full((7, 6), PAD)
    for row, text in enumerate(texts.tolist()):
        ids = [SOS, 4 + text, *[10 + text] * (text % 3), EOS]
        tokens[row, : len(ids)] = torch.tensor(ids)
    examples = tuple(Example(f"{n}.wav", "", "", bool(r)) for n, r in enumerate(rehearsal))
    return Batch(features, lengths, tokens, labels, texts, rehearsal, examples)


def loss_of(model, batch, teacher=None, **settings):
    parts = objective(model, batch, SpeechSettings(**PLAIN | settings), teacher)
    return {name: float(value.detach()) for name, value in parts.items()}


def asr(model, batch, tokens=None, rows=None):
    """Mean over clips of the mean over a clip's tokens."""
    tokens = batch.tokens if tokens is None else tokens
    rows = range(len(batch)) if rows is None else rows
    heard = model.hear(batch.features, batch.lengths)
    means = []
    for place, row in enumerate(rows):
        ids = [t for t in tokens[place if tokens is not batch.tokens else row].tolist() if t != PAD]
        own = heard.rows(torch.tensor([row]))
        logits = model.spell(own, torch.tensor([ids[:-1]]))[0].log_softmax(1)
        means.append(
            -sum(float(logits[n, t].detach()) for n, t in enumerate(ids[1:])) / (len(ids) - 1)
        )
    return sum(means) / len(means)


def audio(model, batch):
    return normalize(model.audio(model.hear(batch.features, batch.lengths)), dim=1).detach()


def test_spelling_ignores_padding(model, batch):
    assert math.isclose(loss_of(model, batch)["asr"], asr(model, batch), rel_tol=1e-9)
    logits = model.spell(model.hear(batch.features, batch.lengths), batch.tokens[:, :-1])
    longer = torch.cat([batch.tokens, torch.full((7, 2), PAD)], dim=1)
    noise = torch.randn(7, 2, 20, dtype=logits.dtype)
    torch.testing.assert_close(
        spelling(logits, batch.tokens), spelling(torch.cat([logits, noise], dim=1), longer)
    )


@pytest.mark.parametrize("on", ["new", "all"])
@pytest.mark.parametrize("positives", ["pair", "class"])
def test_matching_is_the_papers(model, batch, positives, on):
    a, t = audio(model, batch), normalize(model.text(batch.tokens), dim=1).detach()
    anchors = [k for k in range(7) if on == "all" or not batch.rehearsal[k]]
    total = 0.0
    for one, other in ((a, t), (t, a)):
        for k in anchors:
            e = [math.exp(float(one[k] @ other[i]) / TAU) for i in range(7)]
            same = [i for i in range(7) if batch.labels[i] == batch.labels[k]]
            if positives == "class":
                total -= sum(math.log(e[p] / sum(e)) for p in same) / len(same)
            else:
                kept = [i for i in range(7) if i == k or batch.texts[i] != batch.texts[k]]
                total -= math.log(e[k] / sum(e[i] for i in kept))
    found = loss_of(model, batch, mm=0.3, mm_positives=positives, mm_on=on)["mm"]
    assert math.isclose(found, 0.3 * total / (2 * len(anchors)), rel_tol=1e-6)


@pytest.mark.parametrize("design", ["nspt", "scl", "ntpt"])
def test_the_teachers_contrast_is_the_papers(model, teacher, batch, design):
    student, other = audio(model, batch), audio(teacher.model, batch)
    near = student if design == "scl" else other
    far = other if design == "ntpt" else student
    total, count = 0.0, 0
    for k in range(7):
        if not batch.rehearsal[k]:
            continue
        same = [p for p in range(7) if batch.labels[p] == batch.labels[k]]
        same = [p for p in same if p != k or design != "scl"]
        if not same:
            continue
        count += 1
        e = {p: math.exp(float(student[k] @ near[p]) / TAU) for p in same}
        rest = sum(
            math.exp(float(student[k] @ far[i]) / TAU)
            for i in range(7) if batch.labels[i] != batch.labels[k]
        )  # fmt: skip
        total -= sum(math.log(e[p] / (rest + sum(e.values()))) for p in same) / len(same)
    found = loss_of(model, batch, teacher, nspt=0.2, design=design)["nspt"]
    assert math.isclose(found, 0.2 * total / count, rel_tol=1e-6)


def test_before_there_is_a_teacher_the_head_learns_by_classes(model, batch):
    z = audio(model, batch)
    total, count = 0.0, 0
    for k in range(7):
        same = [p for p in range(7) if p != k and batch.labels[p] == batch.labels[k]]
        if same:
            count += 1
            e = {i: math.exp(float(z[k] @ z[i]) / TAU) for i in range(7) if i != k}
            total -= sum(math.log(e[p] / sum(e.values())) for p in same) / len(same)
    assert math.isclose(loss_of(model, batch, nspt=0.2)["nspt"], 0.2 * total / count, rel_tol=1e-6)
    assert math.isclose(loss_of(model, batch, scr=0.2)["scr"], 0.2 * total / count, rel_tol=1e-6)
    assert "nspt" not in loss_of(model, batch, nspt=0.2, first_contrast=False)


@pytest.mark.parametrize("kind", ["audio", "token", "sequence"])
def test_distillation_takes_its_share_of_spelling(model, teacher, batch, kind):
    weight = math.sqrt(3 / 7)
    found = loss_of(model, batch, teacher, distil=kind, distil_temperature=2.0)
    assert math.isclose(found["asr"], (1 - weight) * asr(model, batch), rel_tol=1e-9)
    mine = model.hear(batch.features, batch.lengths)
    theirs = teacher.model.hear(batch.features, batch.lengths)
    if kind == "audio":
        gap = (mine.mean() - theirs.mean())[batch.rehearsal]
        expected = float(gap.detach().square().mean())
    elif kind == "sequence":
        told = torch.tensor([[SOS, 5 + n, 6, EOS] for n in (4, 5, 6)])
        expected = asr(model, batch, told, (4, 5, 6))
    else:
        means = []
        for row in (4, 5, 6):
            ids = [t for t in batch.tokens[row].tolist() if t != PAD]
            own, given = torch.tensor([row]), torch.tensor([ids[:-1]])
            p = (teacher.model.spell(theirs.rows(own), given)[0] / 2).softmax(1)
            q = (model.spell(mine.rows(own), given)[0] / 2).softmax(1)
            means.append(float((p * (p / q).log()).sum(1).mean().detach()))
        expected = 4 * sum(means) / 3
    assert math.isclose(found["kd"], weight * expected, rel_tol=1e-6)


def test_no_gradient_reaches_the_teacher(model, teacher, batch):
    given = SpeechSettings(mm=0.1, nspt=0.1, distil="sequence", design="ntpt")
    sum(objective(model, batch, given, teacher).values()).backward()
    assert all(p.grad is None for p in teacher.model.parameters())
    assert model.audio_head.weight.grad.abs().sum() > 0
    model.zero_grad()


def test_a_batch_without_rehearsal_has_neither_distillation_nor_teacher(model, teacher, batch):
    fresh = Batch(batch.features[:4], batch.lengths[:4], batch.tokens[:4], batch.labels[:4],
                  batch.texts[:4], batch.rehearsal[:4], batch.examples[:4])  # fmt: skip
    parts = loss_of(model, fresh, teacher, mm=0.1, nspt=0.1, distil="audio")
    assert set(parts) == {"asr", "mm"}
    assert math.isclose(parts["asr"], asr(model, fresh), rel_tol=1e-9)


def test_matching_with_nobody_else_is_nothing(model, batch):
    alike = Batch(batch.features[:2], batch.lengths[:2], batch.tokens[:2], batch.labels[:2],
                  batch.texts[:2], batch.rehearsal[:2], batch.examples[:2])  # fmt: skip
    a, t = audio(model, alike), model.text(alike.tokens)
    assert float(matching(a, t, alike, "pair", "new", TAU).detach().abs()) < 1e-9
