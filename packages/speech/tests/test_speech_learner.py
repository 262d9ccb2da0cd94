"""From task to task: draws, killed and resumed, a task added later, what is remembered."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.run import RunFolder
from nearfar_speech import continual
from nearfar_speech.answers import Answer, accuracy_of, read_answers, records_of, write_answers
from nearfar_speech.batches import Draw, spelt
from nearfar_speech.clip import Clip, ClipSet
from nearfar_speech.continual import learn_curriculum, new_learner
from nearfar_speech.extend import extended
from nearfar_speech.features import Features
from nearfar_speech.prepare import prepare, short_enough
from nearfar_speech.recognise import heard_in
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.simulate import simulate_clips
from nearfar_speech.targets import Target
from nearfar_speech.tokens import EOS, PAD, SOS, Tokens

TINY = SpeechSettings(
    frozen=6,
    width=8,
    layers=1,
    heads=2,
    contrast=4,
    tasks=3,
    memory=12,
    epochs=1,
    first_epochs=2,
    batch=8,
    vocabulary=60,
    beam=1,
    max_tokens=4,
)


def _with(**settings):
    return SpeechSettings(**TINY.model_dump() | settings)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return simulate_clips(tmp_path_factory.mktemp("clips"), speakers=4)


@pytest.fixture(scope="module")
def features(found):
    kept = Features(new_learner(prepare(found, TINY), TINY).model.encoder)
    kept.prepare([clip.path for clip in found.clips])
    return kept.kept


def learner_of(prepared, settings, features, seed=0):
    learner = new_learner(prepared, settings, seed)
    learner.features = Features(learner.model.encoder, known=features)
    return learner


@examples(max_examples=60)
@given(
    new=st.integers(1, 40), rehearsed=st.integers(0, 9), batch=st.integers(2, 12),
    share=st.sampled_from([None, 0.1, 0.25, 0.9]), epoch=st.integers(0, 3),
)  # fmt: skip
def test_an_epoch_has_each_new_clip_once(new, rehearsed, batch, share, epoch):
    draw = Draw(new, rehearsed, batch, share, (3, 1))
    steps = [draw.at(epoch * draw.steps + n) for n in range(draw.steps)]
    assert sorted(np.concatenate([fresh for fresh, _ in steps]).tolist()) == list(range(new))
    for fresh, old in steps:
        assert 0 < len(fresh) + len(old) <= batch
        assert ((old >= 0) & (old < max(1, rehearsed))).all()
    drawn = np.concatenate([old for _, old in steps])
    if share is None:
        assert sorted(drawn.tolist()) == list(range(rehearsed))
    elif rehearsed:
        assert all(len(old) == min(max(1, round(share * batch)), batch - 1) for _, old in steps)


def test_the_buffer_is_gone_through_evenly():
    draw = Draw(30, 5, 8, 0.25, (0, 2))
    drawn = np.concatenate([draw.at(n)[1] for n in range(25)])  # 50 clips: ten times each
    assert np.bincount(drawn).tolist() == [10] * 5
    assert [a.tolist() for a in draw.at(7)] == [a.tolist() for a in draw.at(7)]


def test_sequences_stand_between_their_marks():
    assert spelt([[7], [8, 9], []]).tolist() == [
        [SOS, 7, EOS, PAD], [SOS, 8, 9, EOS], [SOS, EOS, PAD, PAD],
    ]  # fmt: skip


@pytest.mark.parametrize("stopped", [0, 3, 4, 7])
@pytest.mark.parametrize("more", [{}, {"distil": "sequence", "schedule": "noam", "share": None}])
def test_a_killed_curriculum_resumes_to_the_same_numbers(
    found, features, tmp_path, stopped, more, monkeypatch
):
    settings = _with(**more)
    prepared = prepare(found, settings)
    whole = learner_of(prepared, settings, features)
    told = learn_curriculum(whole, prepared)

    class Killed(Exception):
        pass

    killed = learner_of(prepared, settings, features)
    step, count = killed.step, iter(range(1000))

    def failing():
        if next(count) == stopped:
            raise Killed
        return step()

    monkeypatch.setattr(killed, "step", failing)
    monkeypatch.setattr(continual, "_SAVE_EVERY", 0.0)
    run = RunFolder(tmp_path / "run", settings)
    with pytest.raises(Killed):
        learn_curriculum(killed, prepared, run)

    resumed = learner_of(prepared, settings, features)
    again = learn_curriculum(resumed, prepared, run)
    assert again == told
    np.testing.assert_array_equal(accuracy_of(again).accuracy, accuracy_of(told).accuracy)
    assert resumed.buffer.memories == whole.buffer.memories
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_ctrl_c_waits_for_the_step_and_keeps_what_is_done(found, features, tmp_path, monkeypatch):
    prepared = prepare(found, TINY)
    told = learn_curriculum(learner_of(prepared, TINY, features), prepared)
    stopped = learner_of(prepared, TINY, features)
    step, count = stopped.step, iter(range(1000))

    def interrupted():
        if next(count) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return step()

    monkeypatch.setattr(stopped, "step", interrupted)
    run = RunFolder(tmp_path / "run", TINY)
    with pytest.raises(KeyboardInterrupt):
        learn_curriculum(stopped, prepared, run)
    kept = load_checkpoint(run.checkpoint / "state.safetensors")
    assert (kept["task"], kept["done"]) == (1, 2)
    assert learn_curriculum(learner_of(prepared, TINY, features), prepared, run) == told


def test_a_task_added_later_is_as_if_it_had_been_there(found, features):
    prepared = prepare(found, TINY)
    whole = learner_of(prepared, TINY, features)
    told = learn_curriculum(whole, prepared)

    last = set(prepared.curriculum.tasks[-1])
    first = ClipSet("first", tuple(c for c in found.clips if c.intent not in last))
    rest = ClipSet("rest", tuple(c for c in found.clips if c.intent in last))
    # The same tokens and the same quota: what a run keeps as it was.
    fewer = _with(tasks=2, memory=2.0 * 4)
    begun = prepare(first, fewer, tokens=prepared.tokens)
    assert (begun.curriculum.tasks, begun.quota) == (prepared.curriculum.tasks[:2], prepared.quota)
    learner = learner_of(begun, TINY, features)
    answers = learn_curriculum(learner, begun)
    more = extended(begun, rest, TINY)
    assert more.curriculum == prepared.curriculum
    answers += learn_curriculum(learner, more)
    assert answers == told
    for name, value in whole.model.state_dict().items():
        assert torch.equal(learner.model.state_dict()[name], value), name


def test_a_learner_remembers_and_has_a_teacher_that_stays(found, features):
    prepared = prepare(found, TINY)
    learner = learner_of(prepared, TINY, features)
    learner.begin(prepared.training(0))
    assert learner.teacher is None
    while learner.done < learner.steps:
        learner.step()
    chosen = learner.finish()
    assert len(chosen) == prepared.quota * len(prepared.curriculum.tasks[0])
    before = {n: v.clone() for n, v in learner.teacher.model.state_dict().items()}
    learner.begin(prepared.training(1))
    assert [e.path for e in learner.old] == [m.path for m in chosen]
    learner.step()
    moved = learner.model.state_dict()
    assert any(not torch.equal(moved[n], v) for n, v in before.items())
    after = learner.teacher.model.state_dict()
    assert all(torch.equal(after[n], v) for n, v in before.items())


def test_sequence_distillation_has_what_the_teacher_hears(found, features):
    settings = _with(distil="sequence")
    prepared = prepare(found, settings)
    learner = learner_of(prepared, settings, features)
    learner.begin(prepared.training(0))
    learner.step()
    learner.finish()
    learner.begin(prepared.training(1))
    paths = [m.path for m in learner.buffer.memories]
    heard = heard_in(learner.teacher.model, learner.features, paths, settings)
    assert learner.teacher.heard == {p: h.tokens for p, h in zip(paths, heard, strict=True)}


def test_an_encoder_that_has_learnt_moves_at_a_share(found, features):
    settings = _with(frozen=5, encoder_share=0.0)
    prepared = prepare(found, settings)
    learner = new_learner(prepared, settings)
    before = {n: p.clone() for n, p in learner.model.named_parameters()}
    learner.begin(prepared.training(0))
    for _ in range(2):
        learner.step()
    moved = {n for n, p in learner.model.named_parameters() if not torch.equal(p, before[n])}
    assert not any(n.startswith("encoder.") for n in moved)
    assert {"bridge.weight", "output.bias"} <= moved


def test_the_rate_rises_and_falls(found, features):
    prepared = prepare(found, TINY)
    learner = learner_of(prepared, TINY, features)
    learner.begin(prepared.training(0))
    rates = []
    for number in range(learner.steps):
        learner.done = number
        rates.append(learner._rates()[1])
    assert max(rates) == TINY.learning_rate
    assert rates[-1] < 1e-9
    top = rates.index(max(rates))
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)


def test_state_is_a_checkpoint(found, features, tmp_path):
    prepared = prepare(found, TINY)
    learner = learner_of(prepared, TINY, features)
    learner.begin(prepared.training(0))
    learner.step()
    save_checkpoint(tmp_path / "state", learner.state())
    other = learner_of(prepared, TINY, features, seed=5)
    other.seed = 0
    other.load_state(load_checkpoint(tmp_path / "state"), prepared.training(0))
    # The second of them shows what the optimizer remembered.
    assert [other.step() for _ in range(2)] == [learner.step() for _ in range(2)]


def test_a_tokenizer_of_another_size_is_refused(found):
    prepared = prepare(found, TINY)
    learner = new_learner(prepared, TINY)
    learner.tokens = Tokens.train(["a b c d e f g h"], 20)
    with pytest.raises(UserError, match=r"has \d+ tokens; the model was made for \d+"):
        type(learner)(learner.model, learner.tokens, learner.features, learner.buffer, TINY, 0)


def test_features_are_made_once_and_are_exact(found):
    learner = new_learner(prepare(found, TINY), TINY)
    features = learner.features
    path = found.clips[0].path
    first = features.of(path)
    assert features.of(str(path)) is first
    none = Features(learner.model.encoder, mebibytes=0)
    assert torch.equal(none.of(path), first)
    assert not none.kept


class TestPrepare:
    def test_long_targets_are_left_out_and_named(self, found):
        sizes = sorted(len(Target.of(clip).text) for clip in found.clips)
        limit = sizes[len(sizes) // 2]
        kept = short_enough(found, SpeechSettings(max_characters=limit))
        assert len(kept) == sum(size <= limit for size in sizes) < len(found)
        assert kept.fault_counts() == {"target too long": len(found) - len(kept)}
        size = len(Target.of(next(c for c in found.clips if c not in kept.clips)).text)
        (told,) = kept.told(names=0)
        assert told == (
            f"target too long: {len(found) - len(kept)} left out (, ...); the first has {size} "
            "characters of intent, slots and transcript together; expected at most "
            f"{limit} (setting max_characters)"
        )
        assert prepare(kept, TINY).left_out == len(found) - len(kept)
        assert prepare(kept, TINY).clips == prepare(found, _with(max_characters=limit)).clips
        with pytest.raises(UserError, match="longer than max_characters, 5"):
            short_enough(found, SpeechSettings(max_characters=5))

    def test_settings_reach_tokens_and_training_clips(self, found):
        small = prepare(found, _with(vocabulary=40))
        assert len(small.tokens) == 40
        few = _with(clips_per_class=3, memory=6)
        prepared = prepare(found, few)
        for task in range(3):
            assert len(prepared.of("train", task)) == 3 * 2
        assert len(prepared.of("test", 0)) == len(prepare(found, TINY).of("test", 0))

    def test_a_buffer_larger_than_the_data(self, found):
        with pytest.raises(UserError, match=r"a buffer of 999 clips; the training set has \d+"):
            prepare(found, SpeechSettings(memory=999))

    def test_an_intent_that_is_tested_and_never_trained(self, found):
        clips = [Clip(c.path, "new", split="test") if n == 0 else c
                 for n, c in enumerate(c for c in found.clips if c.split == "test")]  # fmt: skip
        clips += [c for c in found.clips if c.split == "train"]
        with pytest.raises(UserError, match="'new' has no training clip"):
            prepare(ClipSet("x", tuple(clips)), TINY)

    def test_splits(self, found):
        bare = [Clip(c.path, c.intent, speaker=c.speaker) for c in found.clips]
        prepared = prepare(ClipSet("x", tuple(bare)), TINY)
        assert {c.split for c in prepared.clips} == {"train", "valid", "test"}
        left = _with(test_speakers=("speaker2",))
        prepared = prepare(ClipSet("x", tuple(bare)), left)
        assert {c.speaker for c in prepared.clips if c.split == "test"} == {"speaker2"}
        with pytest.raises(UserError, match="has no split"):
            prepare(ClipSet("x", (*bare[:20], *found.clips[20:])), TINY)

    def test_speakers_stay_left_out_of_a_task_added_later(self, found):
        left = _with(test_speakers=("speaker2",), valid_speakers=("speaker1",))
        whole = prepare(found, left)
        last = whole.curriculum.tasks[-1]
        first = tuple(c for c in found.clips if c.intent not in last)
        more = tuple(replace(c, split="") for c in found.clips if c.intent in last)
        fewer = _with(**left.model_dump() | {"tasks": 2})
        begun = prepare(ClipSet("x", first), fewer, tokens=whole.tokens)
        assert {c.path: c.split for c in extended(begun, ClipSet("x", more), left).clips} == {
            c.path: c.split for c in whole.clips
        }
        others = tuple(c for c in more if c.speaker not in ("speaker1", "speaker2"))
        added = extended(begun, ClipSet("x", others), left).clips[len(begun.clips) :]
        assert {c.split for c in added} == {"train"}
        nameless = (*more[1:], replace(more[0], speaker=""))
        with pytest.raises(UserError, match=f"1 of {len(more)} clips have no speaker"):
            extended(begun, ClipSet("x", nameless), left)

    def test_a_task_added_later_has_as_few_clips(self, found):
        scarce = _with(clips_per_class=2, memory=0)
        whole = prepare(found, scarce, seed=5)
        last = whole.curriculum.tasks[-1]
        first = ClipSet("x", tuple(c for c in found.clips if c.intent not in last))
        rest = ClipSet("x", tuple(c for c in found.clips if c.intent in last))
        fewer = _with(clips_per_class=2, memory=0, tasks=2)
        begun = prepare(first, fewer, seed=5, tokens=whole.tokens)
        more = extended(begun, rest, fewer, seed=5)
        assert set(more.clips) == set(whole.clips)
        assert Counter(c.intent for c in more.clips if c.split == "train") == dict.fromkeys(
            whole.curriculum.classes, 2
        )

    def test_what_cannot_be_added(self, found):
        whole = prepare(found, TINY)
        first = tuple(c for c in found.clips if c.intent not in whole.curriculum.tasks[-1])
        begun = prepare(ClipSet("x", first), _with(tasks=2), tokens=whole.tokens)
        with pytest.raises(UserError, match="is in the curriculum"):
            extended(begun, found, TINY)
        with pytest.raises(UserError, match="is a clip of the run already, of intent"):
            extended(begun, ClipSet("x", (replace(first[0], intent="other"),)), TINY)
        rest = [c for c in found.clips if c not in first]
        odd = [Clip(c.path, "Ünbekannt", split="train") for c in rest[:2]]
        with pytest.raises(
            UserError, match="tokenizer does not know 'Ü' of the target 'Ünbekannt'"
        ):
            extended(begun, ClipSet("x", tuple(odd)), TINY)
        open_ended = prepare(ClipSet("x", first), _with(tasks=2), byte_fallback=True)
        with pytest.raises(UserError, match="has no training clip"):  # the odd one can be spelt
            extended(open_ended, ClipSet("x", (*odd, replace(odd[0], intent="7's", split="test"))),
                     TINY)  # fmt: skip
        tested = [Clip(rest[0].path, "open", split="test")]
        with pytest.raises(UserError, match="has no training clip"):
            extended(begun, ClipSet("x", tuple(tested)), TINY)


class TestAnswers:
    ANSWERS = (
        [Answer("a", 0, "on _SEP turn on", "on _SEP turn on", -1.0),
         Answer("b", 0, "off _SEP turn off", "on _SEP turn off", -1.0)],
        [Answer("a", 0, "on _SEP turn on", "on _SEP turn", -1.0),
         Answer("b", 0, "off _SEP turn off", "off _SEP turn off", -1.0),
         Answer("c", 1, "up _SEP up", "up _SEP up", -1.0),
         Answer("d", 1, "down _SEP down", "off _SEP down", -1.0)],
    )  # fmt: skip

    def test_what_is_measured(self):
        told = {(r.split, r.metric): r.value for r in records_of(self.ANSWERS, "x", "m", 0)}
        assert told["after=0,on=0", "intent accuracy"] == 0.5
        assert told["after=1,on=0", "intent accuracy"] == 1.0
        assert told["after=1,on=1", "intent accuracy"] == 0.5
        assert told["after=all", "average accuracy"] == (0.5 + 0.75) / 2
        assert told["after=all", "last accuracy"] == told["after=1", "accuracy"] == 0.75
        assert told["after=all", "forgetting"] == -0.5
        assert told["after=all", "backward transfer"] == 0.5
        assert told["after=0", "word error rate"] == 0.0
        assert told["after=all", "last word error rate"] == 1 / 6
        assert np.isnan(told["after=all", "last slu f1"])
        assert ("after=0,on=1", "intent accuracy") not in told

    def test_one_measurement_has_no_average(self):
        told = {r.metric for r in records_of(self.ANSWERS[:1], "x", "m", 0)}
        assert {"last accuracy", "accuracy"} <= told
        assert not told & {"average accuracy", "forgetting", "average word error rate"}

    def test_they_are_written_and_read(self, tmp_path):
        write_answers(tmp_path / "a.jsonl", self.ANSWERS[1])
        assert read_answers(tmp_path / "a.jsonl") == self.ANSWERS[1]
        (tmp_path / "a.jsonl").write_text('{"path": 1}')
        with pytest.raises(UserError, match="holds no answers"):
            read_answers(tmp_path / "a.jsonl")
