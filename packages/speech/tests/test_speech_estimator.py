"""The estimator face: on arrays, on clips, one task more."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from nearfar_kit.errors import UserError
from nearfar_speech import SpokenLanguageUnderstanding, load_model, save_model
from nearfar_speech.audio import read_audio
from nearfar_speech.evaluate import meanings
from nearfar_speech.simulate import simulate_clips

TINY = {
    "frozen": 6, "width": 8, "layers": 1, "heads": 2, "contrast": 4, "memory": 8, "epochs": 1,
    "first_epochs": 1, "batch": 8, "vocabulary": 60, "beam": 1, "max_tokens": 4, "tasks": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return simulate_clips(tmp_path_factory.mktemp("clips"), speakers=4).clips


@pytest.fixture(scope="module")
def arrays(clips):
    own = [clip for clip in clips if clip.intent not in ("open", "quieter")]
    return [read_audio(clip.path).samples for clip in own], own


@pytest.fixture(scope="module")
def fitted(arrays):
    waves, own = arrays
    return SpokenLanguageUnderstanding(**TINY).fit(
        waves, [c.intent for c in own], slots=[dict(c.slots) for c in own],
        transcripts=[c.transcript for c in own],
    )  # fmt: skip


def test_it_learns_arrays_and_names_them(fitted, arrays):
    waves, own = arrays
    assert list(fitted.classes_) == ["brighter", "close", "darker", "louder"]
    told = fitted.recognise(waves[:5])
    assert [found.meaning.intent for found in told] == fitted.predict(waves[:5]).tolist()
    assert 0 <= fitted.score(waves, [c.intent for c in own]) <= 1


def test_the_same_seed_learns_the_same(fitted, arrays):
    waves, own = arrays
    again = clone(fitted).fit(
        waves, [c.intent for c in own], slots=[c.slots for c in own],
        transcripts=[c.transcript for c in own],
    )  # fmt: skip
    assert again.recognise(waves[:9]) == fitted.recognise(waves[:9])
    other = clone(fitted).set_params(random_state=1, epochs=2)
    assert (other.get_params()["random_state"], other.settings.epochs) == (1, 2)


def test_a_task_more_on_clips(clips):
    first = [c for c in clips if c.intent not in ("open", "quieter")]
    model = SpokenLanguageUnderstanding(**TINY).fit(first)
    silent = model.model_.model.silent < 0  # bytes that no task used are left out of all training
    assert int(silent.sum()) == 256
    more = [c for c in clips if c.intent == "close"]
    with pytest.raises(UserError, match="is in the curriculum"):
        model.partial_fit(more)
    # Words of characters that no target of the first tasks has.
    model.partial_fit([np.zeros(4000, np.float32)] * 6, ["vowel"] * 3 + ["fünf"] * 3)
    assert list(model.classes_)[-2:] == ["fünf", "vowel"]
    allowed = set("vwfü".encode()) - set(" ".join(c.intent for c in first).encode())
    assert 0 < 256 - int((model.model_.model.silent < 0).sum()) <= len(allowed)
    assert model.predict(first[:2]).shape == (2,)


def test_mistakes(fitted):
    wave = np.zeros(100, np.float32)
    with pytest.raises(UserError, match="unknown setting magic"):
        SpokenLanguageUnderstanding(magic=1)
    with pytest.raises(UserError, match="preset tiny: expected one of cpu, paper"):
        SpokenLanguageUnderstanding("tiny")
    with pytest.raises(UserError, match="expected fit first"):
        SpokenLanguageUnderstanding().predict([wave])
    with pytest.raises(UserError, match="intents: 1 of 2 recordings"):
        fitted.score([wave, wave], ["on"])
    with pytest.raises(UserError, match="intents are absent"):
        SpokenLanguageUnderstanding().fit([wave])
    for bad, message in (
        ([np.zeros(0)], "has shape"),
        ([np.zeros((2, 5))], "has shape"),
        ([np.array([0, np.nan, np.inf])], "2 of 3 samples are NaN or infinite"),
        (["a.wav"], r"is text, 'a.wav'; expected samples \[L\] or a Clip"),
        ([["a", "b"]], "holds no numbers"),
        (wave, r"is one number; expected samples \[L\], and a single recording in a list"),
    ):
        with pytest.raises(UserError, match=f"recording 0: {message}"):
            fitted.predict(bad)


def test_what_was_learnt_is_kept(fitted, arrays, tmp_path):
    save_model(str(tmp_path / "m"), fitted.model_)
    clips = arrays[1][:5]
    told = [found.meaning.intent for found in
            meanings(load_model(str(tmp_path / "m")), [clip.path for clip in clips])]  # fmt: skip
    assert told == fitted.predict(clips).tolist()
