"""Synthetic folders: made the same each time, and read back whole by the readers."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest

from nearfar_kit.errors import UserError
from nearfar_speech.audio import read_audio
from nearfar_speech.readers import find_clips
from nearfar_speech.synthetic import Voice, draw_voices, espeak, make_fsc, make_slurp, speak
from nearfar_speech.synthetic.fluent import INTENTS, phrases_of
from nearfar_speech.tasks import CURRICULA, make_curriculum

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None or sys.platform == "win32",
    reason="espeakng-loader is not installed",
)
SENTENCE = "wake me at eight am on friday"
BREATHY = Voice("en-us+f3")  # a timbre whose breath is random


def annotation(number, scenario, action, sentence, *entities):
    return {
        "slurp_id": number, "sentence": sentence, "scenario": scenario, "action": action,
        "intent": f"{scenario}_{action}", "recordings": [{"file": "audio-1.flac"}],
        "tokens": [{"surface": word, "id": i} for i, word in enumerate(sentence.split())],
        "entities": [{"span": span, "type": kind} for kind, span in entities],
    }  # fmt: skip


ROWS = [
    *(annotation(n, "alarm", "set", f"wake me at {hour} am on friday",
                 ("time", [3, 4]), ("date", [6]))
      for n, hour in enumerate(["six", "seven", "eight", "nine", "ten", "five", "four", "three"])),
    *(annotation(10 + n, "play", "music", f"play {title}", ("song_name", [1, 2]))
      for n, title in enumerate(["blue moon", "yellow submarine", "my way", "red house"])),
    *(annotation(20 + n, "qa", "maths", text) for n, text in enumerate(["what is pi", "add them"])),
]  # fmt: skip


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    file = tmp_path_factory.mktemp("annotations") / "devel.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return file


@pytest.fixture(scope="module")
def fsc(tmp_path_factory):
    return make_fsc(tmp_path_factory.mktemp("sets") / "fsc", (2, 1, 1), seed=3)


def contents(folder):
    return {
        str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# Voices


def test_speech_is_the_same_whatever_was_said_before():
    first = speak(SENTENCE, BREATHY)
    speak("something else altogether", Voice("en+m1"))
    np.testing.assert_array_equal(speak(SENTENCE, BREATHY), first)
    assert first.dtype == np.float32
    assert 1 < len(first) / 16_000 < 4
    assert 0.1 < np.abs(first).max() <= 1


def test_speech_is_the_same_in_another_process():
    code = (
        "import sys; from hashlib import sha256; from nearfar_speech.synthetic import Voice, speak;"
        f"sys.stdout.write(sha256(speak({SENTENCE!r}, Voice('en-us+f3')).tobytes()).hexdigest())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == sha256(speak(SENTENCE, BREATHY).tobytes()).hexdigest()


def test_voices_differ():
    spoken = {
        speak(SENTENCE, Voice(f"{accent}+{timbre}")).tobytes()
        for accent in espeak.ACCENTS
        for timbre in espeak.TIMBRES
    }
    assert len(spoken) == len(espeak.ACCENTS) * len(espeak.TIMBRES)


def test_rate_and_pitch_are_heard():
    slow, fast = (speak(SENTENCE, Voice("en+m1", rate=rate)) for rate in (120, 240))
    assert len(slow) > 1.5 * len(fast)

    def hertz(samples):  # the lag at which the middle of it is most like itself
        part = samples[2000:6000] - samples[2000:6000].mean()
        alike = np.correlate(part, part, "full")[len(part) - 1 :]
        return 16_000 / (40 + alike[40:400].argmax())

    low, high = (hertz(speak("aaah", Voice("en+m1", 80, pitch))) for pitch in (10, 90))
    assert high > 1.3 * low


def test_voices_are_drawn_by_seed():
    voices = draw_voices(40, seed=1)
    assert len({voice.name for voice in voices}) == 40
    assert voices == draw_voices(40, seed=1)
    assert voices != draw_voices(40, seed=2)
    rng = np.random.default_rng(0)
    varied = {voices[0].varied(rng) for _ in range(20)}
    assert len(varied) > 10
    assert {voice.name for voice in varied} == {voices[0].name}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: speak("hello", Voice("en-gb+f3")), "voice 'en-gb\\+f3' is unknown to eSpeak NG"),
        (lambda: speak("hello", Voice("en+f33")), "voice 'en\\+f33' is unknown"),
        (lambda: speak("hello", Voice("en")), "voice 'en' is unknown"),
        (lambda: speak(" ", Voice("en+f3")), "says nothing; expected words"),
        (lambda: draw_voices(97), "97 voices; expected 1 to 96"),
    ],
)
def test_what_cannot_be_said(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_without_the_wheel_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r"pip install 'nearfar-speech\[synthesis\]'"):
        speak("hello", Voice("en+f3"))


# Fluent Speech Commands


def test_fsc_is_read_back_whole(fsc):
    found = find_clips(fsc, check="decode")
    assert (found.name, found.faults, found.missing) == ("fsc", (), ())
    assert [len(found.of(split)) for split in ("train", "valid", "test")] == [62, 31, 31]
    speakers = [{c.speaker for c in found.of(s)} for s in ("train", "valid", "test")]
    assert [len(some) for some in speakers] == [2, 1, 1]
    assert len(set.union(*speakers)) == 4
    for clip in found.clips:
        (intent,) = (i for i in INTENTS if "_".join(" ".join(i).split()) == clip.intent)
        assert clip.transcript in phrases_of(*intent)
        assert clip.scenario == "_".join(intent[0].split())
        assert clip.seconds > 0.4
        assert len(read_audio(clip.path).samples) == round(clip.seconds * 16_000)


def test_fsc_has_the_intents_of_the_paper(fsc):
    clips = find_clips(fsc).clips
    assert len({clip.intent for clip in clips}) == len(INTENTS) == 31
    for name in (name for name in CURRICULA if name.startswith("fsc")):
        make_curriculum(clips, splits=name)
    assert len({p for intent in INTENTS for p in phrases_of(*intent)}) == 4 * 31


def test_faults_in_a_synthetic_folder_are_counted(tmp_path):
    folder = make_fsc(tmp_path / "fsc", (1, 0, 0))
    gone, cut, void, *_ = sorted((folder / "wavs").rglob("*.wav"))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-2000])
    void.write_bytes(b"")
    found = find_clips(folder)
    assert {fault.path: fault.kind for fault in found.faults} == {
        gone: "missing", cut: "unreadable", void: "empty",
    }  # fmt: skip
    assert len(found) == 31 - 3


def test_the_same_folder_each_time(tmp_path, fsc):
    again, other = (make_fsc(tmp_path / str(s), (2, 1, 1), seed=s) for s in (3, 4))
    assert contents(again) == contents(fsc)
    assert contents(other) != contents(fsc)
    twice = find_clips(make_fsc(tmp_path / "twice", (1, 0, 0), phrases=2), check="none").clips
    assert len({(clip.intent, clip.transcript) for clip in twice}) == 62


# SLURP


def test_slurp_is_read_back_whole(tmp_path, annotations):
    before = {
        clip.transcript: clip for clip in find_clips(annotations, "slurp", check="none").clips
    }
    folder = make_slurp(tmp_path / "slurp", annotations, speakers=(2, 1, 1))
    found = find_clips(folder, check="decode")
    assert (found.name, found.faults, found.missing) == ("slurp", (), ())
    assert sorted(clip.transcript for clip in found.clips) == sorted(before)
    for clip in found.clips:
        known = before[clip.transcript]
        assert (clip.intent, clip.scenario, clip.slots) == (
            known.intent, known.scenario, known.slots,
        )  # fmt: skip
    slots = {clip.slots for clip in found.clips}
    assert (("time", "eight am"), ("date", "friday")) in slots
    assert (("song_name", "yellow submarine"),) in slots
    counts = [len(found.of(split)) for split in ("train", "valid", "test")]
    assert counts == [5 + 2 + 1, 1 + 1 + 1, 2 + 1 + 0]  # rounded intent by intent
    speakers = [{c.speaker for c in found.of(s)} for s in ("train", "valid", "test")]
    assert [len(some) for some in speakers] == [2, 1, 1]
    assert len(set.union(*speakers)) == 4


def test_slurp_by_its_options(tmp_path, annotations):
    options = {"speakers": (1, 1, 1), "scenarios": ["alarm", "play"], "sentences": 2}
    folder = make_slurp(tmp_path / "a", annotations, **options)
    clips = find_clips(folder).clips
    assert sorted(clip.intent for clip in clips) == ["alarm_set"] * 2 + ["play_music"] * 2
    assert contents(make_slurp(tmp_path / "b", annotations, **options)) == contents(folder)
    assert contents(make_slurp(tmp_path / "c", annotations, **options, seed=1)) != contents(folder)
    # What an intent's sentences are does not depend on the others asked for.
    alone = make_slurp(tmp_path / "d", annotations, **options | {"scenarios": ["alarm"]})
    assert {clip.transcript for clip in find_clips(alone).clips} == {
        clip.transcript for clip in clips if clip.scenario == "alarm"
    }


@pytest.mark.data
def test_real_sentences_of_slurp(real, tmp_path):
    file = real("slurp") / "devel.jsonl"
    before = {
        (clip.intent, clip.slots, clip.transcript)
        for clip in find_clips(file, recordings="first", check="none").clips
    }
    found = find_clips(make_slurp(tmp_path / "slurp", file, sentences=2), check="decode")
    assert found.faults == ()
    assert len({clip.intent for clip in found.clips}) == 59
    assert {(clip.intent, clip.slots, clip.transcript) for clip in found.clips} <= before
    assert sum(len(clip.slots) for clip in found.clips) > 80


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": (0.5, 0.5)}, "shares are 0.5 and 0.5"),
        ({"speakers": (1, 0, 1)}, r"speakers are \(1, 0, 1\)"),
        ({"speakers": (95, 1, 1)}, "97 voices; expected 1 to 96"),
        ({"scenarios": ["sleep"]}, r"no sentence of \['sleep'\]"),
    ],
)
def test_slurp_that_cannot_be(tmp_path, annotations, options, message):
    with pytest.raises(UserError, match=message):
        make_slurp(tmp_path / "slurp", annotations, **options)
    assert list(tmp_path.iterdir()) == []


def test_fsc_that_cannot_be(tmp_path):
    for options, message in (
        ({"phrases": 5}, "5 phrases of each intent; expected 1 to 4"),
        ({"speakers": (1, -1, 1)}, r"speakers are \(1, -1, 1\)"),
        ({"speakers": (0, 0, 0)}, "0 voices"),
    ):
        with pytest.raises(UserError, match=message):
            make_fsc(tmp_path / "fsc", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_is_no_annotation(tmp_path):
    file = tmp_path / "devel.jsonl"
    file.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[1] | {"sentence": ""}) + "\n")
    with pytest.raises(UserError, match="line 2: sentence is absent or empty"):
        make_slurp(tmp_path / "slurp", file)


def test_a_folder_is_whole_or_not_there(tmp_path, annotations, monkeypatch):
    folder = tmp_path / "slurp"
    calls = []

    def fails_at_the_third(*_):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.zeros(100, np.float32)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("nearfar_speech.synthetic.slurp.speak", fails_at_the_third)
        make_slurp(folder, annotations, speakers=(1, 1, 1))
    assert list(tmp_path.iterdir()) == []
    folder.mkdir()
    (folder / "mine").touch()
    with pytest.raises(UserError, match="is there already; expected a new or an empty folder"):
        make_slurp(folder, annotations, speakers=(1, 1, 1))
    assert [file.name for file in folder.iterdir()] == ["mine"]
    (folder / "mine").unlink()
    make_slurp(folder, annotations, speakers=(1, 1, 1), sentences=1)
    assert "no recording of a person" in (folder / "SYNTHETIC.txt").read_text()
