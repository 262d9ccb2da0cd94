"""Which classes come when, who tests, and what is remembered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_speech.clip import Clip
from nearfar_speech.readers import find_clips
from nearfar_speech.rehearsal import (
    Memory,
    RehearsalBuffer,
    closest_to_mean,
    herding,
    quota_of,
)
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.splits import leave_speakers_out, split_by_share
from nearfar_speech.tasks import CURRICULA, Curriculum, make_curriculum


def clips_of(*intents, **fields):
    return [Clip(Path(f"{i}.wav"), intent, **fields) for i, intent in enumerate(intents)]


SCENARIOS = [
    "alarm", "audio", "calendar", "cooking", "datetime", "email", "general", "iot", "lists",
    "music", "news", "play", "qa", "recommendation", "social", "takeaway", "transport", "weather",
]  # fmt: skip


# Tasks


def test_even_tasks_are_disjoint_and_whole():
    curriculum = make_curriculum(clips_of(*"gfedcba"), tasks=3)
    assert curriculum.tasks == (("a", "b", "c"), ("d", "e"), ("f", "g"))
    assert len(curriculum) == 3
    assert curriculum.seen(0) == ("a", "b", "c")
    assert curriculum.seen(1) == ("a", "b", "c", "d", "e")


def test_an_order_and_a_seed():
    clips = clips_of(*"abcdef")
    assert make_curriculum(clips, tasks=2, order="fedcba").tasks == (tuple("fed"), tuple("cba"))
    drawn = make_curriculum(clips, tasks=2, seed=1)
    assert drawn == make_curriculum(clips, tasks=2, seed=1)
    assert sorted(drawn.classes) == list("abcdef")
    assert len({make_curriculum(clips, tasks=2, seed=s).tasks for s in range(5)}) > 1


def test_a_list_of_ones_own():
    lists = [["c"], ["a", "b"]]
    assert make_curriculum(clips_of(*"abc"), splits=lists).tasks == (("c",), ("a", "b"))


def test_slurp_by_scenario():
    clips = [Clip(Path(f"{s}.wav"), f"{s}_x", scenario=s) for s in SCENARIOS]
    six = make_curriculum(clips, splits="slurp-6")
    assert six.by == "scenario"
    assert six.tasks[0] == ("calendar", "email", "general")
    assert six.tasks[5] == ("takeaway", "transport", "weather")
    three = make_curriculum(clips, splits="slurp-3")
    assert three.tasks[1] == ("alarm", "audio", "cooking", "datetime", "iot", "lists")
    assert three.classes == six.classes
    assert sorted(six.classes) == sorted(SCENARIOS)
    odd = [*clips[:-1], Clip(Path("x.wav"), "x", scenario="rain")]
    with pytest.raises(UserError, match="no clip has scenario 'weather'"):
        make_curriculum(odd, splits="slurp-6")


def test_fsc_by_intent():
    names = [f"i{n:02}" for n in range(31)]
    clips = clips_of(*reversed(names))
    three = make_curriculum(clips, splits="fsc-3")
    assert [len(task) for task in three.tasks] == [11, 10, 10]
    assert three.tasks[0][:4] == ("i19", "i27", "i30", "i28")
    assert sorted(three.classes) == names
    six = make_curriculum(clips, splits="fsc-6")
    assert [len(task) for task in six.tasks] == [6, 5, 5, 5, 5, 5]
    assert six.classes == three.classes
    with pytest.raises(UserError, match="the clips have 30 classes; expected 31"):
        make_curriculum(clips[1:], splits="fsc-6")


@pytest.mark.parametrize("name", CURRICULA)
def test_named_curricula_are_whole(name):
    assert sum(CURRICULA[name][1]) == {"fsc": 31, "slurp": 18}[name.split("-")[0]]
    assert len(CURRICULA[name][1]) == int(name[-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": "fsc-4"}, "splits 'fsc-4': expected one of fsc-3"),
        ({"tasks": 4}, r"tasks: 4 of 3 classes; expected 1 to 3 \(tasks=1 learns all"),
        ({"tasks": 0}, "tasks: 0 of 3 classes"),
        ({"by": "speaker"}, "tasks are by 'speaker'; expected intent or scenario"),
        ({"by": "scenario"}, r"0.wav: has no scenario"),
        ({"splits": [["a"], ["b"]]}, "intent 'c' of the clips is in no task"),
        ({"splits": [["a", "b"], ["b", "c"]]}, "class 'b' is named twice"),
        ({"splits": [["a", "b", "c"], []]}, "one has no class"),
        ({"splits": [["a", "b", "c", "d"]]}, "no clip has intent 'd'; the clips have a, b, c"),
        ({"order": "ab", "tasks": 1}, "intent 'c' of the clips is in no task"),
        ({"order": "abcc", "tasks": 1}, "order: a class is named twice"),
    ],
)
def test_tasks_that_cannot_be(options, message):
    with pytest.raises(UserError, match=message):
        make_curriculum(clips_of(*"abc"), **options)


def test_no_clips_no_tasks():
    with pytest.raises(UserError, match="no clips to make tasks of"):
        make_curriculum([])


def test_clips_of_tasks():
    clips = clips_of(*"abcab")
    curriculum = make_curriculum(clips, tasks=3)
    assert [clip.path.stem for clip in curriculum.clips_of(clips, 1)] == ["1", "4"]
    assert [curriculum.task_of(clip) for clip in clips] == [0, 1, 2, 0, 1]
    with pytest.raises(UserError, match="intent 'z' is in no task"):
        curriculum.task_of(Clip(Path("z.wav"), "z"))
    later = curriculum.with_task(["z"])
    assert later.tasks == (*curriculum.tasks, ("z",))
    with pytest.raises(UserError, match="class 'a' is named twice"):
        later.with_task(["a"])


def test_an_intent_that_is_tested_and_never_trained():
    curriculum = Curriculum("intent", (("a",), ("b",)))
    curriculum.check_trained(clips_of("a", "b"), clips_of("b"))
    with pytest.raises(UserError, match="intent 'b' has no training clip"):
        curriculum.check_trained(clips_of("a"), [])
    with pytest.raises(UserError, match=r"0.wav: 'c' is tested and was never trained"):
        curriculum.check_trained(clips_of("a", "b"), clips_of("c"))
    by_scenario = Curriculum("scenario", (("s",),))
    with pytest.raises(UserError, match=r"0.wav: 'b' is tested and was never trained"):
        by_scenario.check_trained(clips_of("a", scenario="s"), clips_of("b", scenario="s"))


@pytest.mark.data
def test_tasks_of_the_real_sets(real):
    barista = make_curriculum(find_clips(real("barista"), check="none").clips, tasks=5)
    assert [len(task) for task in barista.tasks] == [2] * 5
    slurp = find_clips(real("slurp"), check="none").clips
    six = make_curriculum(slurp, splits="slurp-6")
    assert sum(len(six.clips_of(slurp, t)) for t in range(6)) == len(slurp)


# Splits


def test_shares_of_each_intent():
    clips = clips_of(*["a"] * 20, *["b"] * 40)
    split = split_by_share(clips, valid=0.1, test=0.25, seed=3)
    assert [clip.path for clip in split] == [clip.path for clip in clips]
    assert Counter((clip.intent, clip.split) for clip in split) == {
        ("a", "test"): 5, ("a", "valid"): 2, ("a", "train"): 13,
        ("b", "test"): 10, ("b", "valid"): 4, ("b", "train"): 26,
    }  # fmt: skip
    assert split == split_by_share(clips, valid=0.1, test=0.25, seed=3)
    assert split != split_by_share(clips, valid=0.1, test=0.25, seed=4)
    assert split_by_share(clips[:20], valid=0.1, test=0.25, seed=3) == split[:20]
    assert {clip.split for clip in split_by_share(clips, valid=0)} == {"train", "test"}
    alike = [clip.split for clip in split_by_share(clips_of(*["a"] * 20, *["b"] * 20))]
    assert alike[:20] != alike[20:]  # each intent draws for itself


def test_shares_that_cannot_be():
    with pytest.raises(UserError, match="intent 'a' has 2 clips; too few"):
        split_by_share(clips_of("a", "a"))
    for shares in ((0.5, 0.5), (-0.1, 0.5), (float("nan"), 0.1)):
        with pytest.raises(UserError, match="shares are"):
            split_by_share(clips_of("a", "a"), *shares)


def test_speakers_left_out():
    clips = [Clip(Path(f"{s}{i}.wav"), "a", speaker=s) for s in ("x", "y", "z") for i in range(2)]
    split = leave_speakers_out(clips, ["z"], ["y"])
    assert [clip.split for clip in split] == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2
    for test, valid, message in (
        (["w"], [], "speaker 'w': not among x, y, z"),
        (["z"], ["z"], "speaker 'z' is to test and to validate"),
        (["x", "y"], ["z"], "all speakers are left out"),
    ):
        with pytest.raises(UserError, match=message):
            leave_speakers_out(clips, test, valid)
    nameless = clips_of("a", "a")
    told = f"^2 of 8 clips have no speaker, the first is {nameless[0].path}; expected one for each"
    with pytest.raises(UserError, match=told):
        leave_speakers_out([*clips, *nameless], ["x"])


# Rehearsal


def memories(*labels):
    return [Memory(f"{i}.wav", f"{label} _SEP text", label) for i, label in enumerate(labels)]


def test_quotas():
    assert quota_of(930, 31, 23_132) == 30  # the author's sizes
    assert quota_of(1260, 18, 11_514) == 70
    assert quota_of(0.01, 31, 23_132) == 7
    assert quota_of(0, 31, 23_132) == 0
    assert quota_of(100, 10, 100) == 10
    assert quota_of(0.01, 10, 100) == 1  # a share keeps one a class
    assert quota_of(0.29, 10, 100) == 2
    for size, message in (
        (101, "a buffer of 101 clips; the training set has 100"),
        (9, "9 clips of 100 for 10 classes; expected 10 or more, one a class"),
        (-1, "expected 0 or more"),
        (float("nan"), "expected 0 or more"),
    ):
        with pytest.raises(UserError, match=message):
            quota_of(size, 10, 100)


def greedy(features, count):
    """Herding by its words: all sets that grow by one are tried."""
    chosen = []
    for _ in range(count):
        rest = [i for i in range(len(features)) if i not in chosen]
        far = [np.linalg.norm(features[[*chosen, i]].mean(0) - features.mean(0)) for i in rest]
        chosen.append(rest[int(np.argmin(far))])
    return chosen


def test_herding_is_greedy():
    features = np.random.default_rng(0).normal(size=(30, 4))
    assert herding(features, 12).tolist() == greedy(features, 12)
    assert sorted(herding(features, 99)) == list(range(30))
    assert len(herding(features, 0)) == 0
    # 1 + 1 is nearest to the mean 4 first, but then 8 balances 0.
    assert herding(np.array([[3.0], [0.0], [9.0], [4.5]]), 2).tolist() == [3, 0]


def test_closest_to_mean():
    features = np.array([[0.0], [10.0], [4.0], [6.0], [5.0]])
    assert closest_to_mean(features, 3).tolist() == [4, 2, 3]


@pytest.mark.parametrize("selection", ["random", "herding", "closest"])
def test_a_quota_a_class(selection):
    clips = memories(*"aaaabbbbbc")
    features = np.random.default_rng(1).normal(size=(10, 3))
    buffer = RehearsalBuffer(2, selection, seed=5)
    chosen = buffer.add(clips, features)
    assert Counter(memory.label for memory in chosen) == {"a": 2, "b": 2, "c": 1}
    assert buffer.memories == chosen
    assert set(chosen) <= set(clips)
    assert buffer.labels == ("a", "b", "c")
    assert len(buffer) == 5
    again = RehearsalBuffer(2, selection, seed=5)
    again.add(clips[4:], features[4:])  # another order of learning, the same choice
    again.add(clips[:4], features[:4])
    assert set(again.memories) == set(chosen)


def test_features_choose():
    features = np.array([[0.0], [10.0], [4.0], [7.0]])
    for selection, rows in (("closest", [2, 3]), ("herding", [2, 3])):
        buffer = RehearsalBuffer(2, selection)
        assert [m.path for m in buffer.add(memories(*"aaaa"), features)] == [
            f"{r}.wav" for r in rows
        ]


def test_random_draws_differ_by_seed_and_class():
    clips = memories(*["a"] * 20, *["b"] * 20)
    drawn = [RehearsalBuffer(5, "random", seed) for seed in range(3)]
    paths = [tuple(m.path for m in buffer.add(clips)) for buffer in drawn]
    assert len(set(paths)) == 3
    first = [int(m.path[:-4]) % 20 for m in drawn[0].memories]
    assert first[:5] != first[5:]


def test_a_buffer_of_nothing():
    assert RehearsalBuffer(0, "random").add(memories(*"ab")) == []


def test_what_a_buffer_refuses():
    with pytest.raises(UserError, match="a quota of -1"):
        RehearsalBuffer(-1)
    with pytest.raises(UserError, match="selection is 'best'; expected random, herding or closest"):
        RehearsalBuffer(1, "best")
    buffer = RehearsalBuffer(1, "herding")
    with pytest.raises(ValueError, match="needs features"):
        buffer.add(memories("a"))
    with pytest.raises(ValueError, match=r"features are \(2, 3\); expected \[1, D\]"):
        buffer.add(memories("a"), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="not finite"):
        buffer.add(memories("a"), np.array([[np.nan]]))
    buffer.add(memories("a"), np.zeros((1, 3)))
    with pytest.raises(UserError, match="class 'a' is kept already"):
        buffer.add(memories("a"), np.zeros((1, 3)))
    assert len(buffer) == 1


def test_a_buffer_saved_and_loaded(tmp_path):
    buffer = RehearsalBuffer(2, "random", seed=7)
    buffer.add([Memory("é b.wav", 'a _SEP "x"', "a"), *memories("b", "b", "b")])
    buffer.save(tmp_path / "buffer.json")
    again = RehearsalBuffer.load(tmp_path / "buffer.json")
    assert vars(again) == vars(buffer)
    RehearsalBuffer(0).save(tmp_path / "empty.json")
    assert len(RehearsalBuffer.load(tmp_path / "empty.json")) == 0


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"schema": 2}',
     '{"schema": 1, "quota": "a", "selection": "random", "seed": 0}',
     '{"schema": 1, "quota": 1, "selection": "random", "seed": 0, "memories": [{"path": "a"}]}',
     '{"schema": 1, "quota": 1, "selection": "random", "seed": 0,'
     ' "memories": [{"path": 1, "target": "a", "label": "b"}]}'],
)  # fmt: skip
def test_what_is_no_buffer(tmp_path, content):
    path = tmp_path / "buffer.json"
    path.write_text(content)
    with pytest.raises(UserError, match="is no buffer of schema 1") as caught:
        RehearsalBuffer.load(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        RehearsalBuffer.load(tmp_path / "none.json")


# Settings


def test_settings():
    settings = load_settings(SpeechSettings, overrides=["selection=random", "splits=fsc-6"])
    assert (settings.selection, settings.splits, settings.memory) == ("random", "fsc-6", 0.01)
    with pytest.raises(UserError, match="unknown setting vocabluary; the nearest is vocabulary"):
        load_settings(SpeechSettings, overrides=["vocabluary=5"])
    with pytest.raises(UserError, match="by is 'word'"):
        load_settings(SpeechSettings, overrides=["by=word"])
