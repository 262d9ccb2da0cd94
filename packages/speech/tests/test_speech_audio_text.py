"""Losses against dense references, towers without regard to company, estimators on tones."""

from __future__ import annotations

import itertools
import sys
from itertools import islice

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from nearfar_kit.errors import UserError
from nearfar_speech.audio_text import LatentText, OrderContrast, ZeroShot
from nearfar_speech.audio_text.caption_tower import CaptionTower
from nearfar_speech.audio_text.joined import joined, then
from nearfar_speech.audio_text.order_contrast import distinct_batches, hard_caption_loss
from nearfar_speech.audio_text.speech_tower import SpeechTower, in_pairs
from nearfar_speech.audio_text.training import shuffled_batches
from nearfar_speech.audio_text.zero_shot import contrast, prompt_vectors
from nearfar_speech.encoders import make_encoder
from nearfar_speech.features import Features

SIZES = {"n": st.integers(1, 5), "seed": st.integers(0, 99)}


def rows(*shape, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=chance, dtype=torch.float64), dim=-1)


# Losses


@settings(deadline=None, max_examples=40)
@given(loss=st.sampled_from(["cwcl", "cwcl-softmax", "clip"]), **SIZES)
def test_contrast_is_its_formula(loss, n, seed):
    speech, text = rows(2, n, 3, seed=seed)
    s = speech @ text.T / 0.3
    alike = text @ text.T
    weights = {
        "cwcl": (alike + 1) / 2,
        "cwcl-softmax": ((alike - 1) / 0.1).exp(),
        "clip": torch.eye(n, dtype=s.dtype),
    }[loss]
    to_text = -(weights * s.log_softmax(1)).sum(1) / weights.sum(1)
    to_speech = -s.log_softmax(0).diagonal()
    wanted = (to_text.mean() + to_speech.mean()) / 2
    torch.testing.assert_close(contrast(speech, text, loss, 0.3), wanted)


def test_an_unknown_contrast():
    with pytest.raises(ValueError, match="loss is 'lit'; expected one of cwcl, cwcl-softmax, clip"):
        contrast(rows(2, 3), rows(2, 3), "lit", 0.1)


@settings(deadline=None, max_examples=40)
@given(
    h=st.integers(1, 3), own=st.sampled_from([0.0, 1.0, 0.4]),
    cross=st.sampled_from([0.0, 1.0, 0.7]), **SIZES,
)  # fmt: skip
def test_hard_captions_by_their_formula(n, seed, h, own, cross):
    x = rows(2 + h, n, 3, seed=seed)
    speech, text, hard = x[0], x[1], x[2:]
    total = 0.0
    for i in range(n):
        s = [float(speech[i] @ text[j]) / 0.3 for j in range(n)]
        below = sum(np.exp(s))
        for k in range(h):
            below += own * np.exp(float(speech[i] @ hard[k, i]) / 0.3)
            below += cross * sum(
                np.exp(float(speech[i] @ hard[k, j]) / 0.3) for j in range(n) if j != i
            )
        total += np.log(below) - s[i]
        back = [float(text[i] @ speech[j]) / 0.3 for j in range(n)]
        total += np.log(sum(np.exp(back))) - back[i]
    found = hard_caption_loss(speech, text, hard, own=own, cross=cross, temperature=0.3)
    assert float(found) == pytest.approx(total / (2 * n), rel=1e-9)


def test_without_hard_captions_it_is_clip():
    speech, text = rows(2, 6, 3)
    wanted = contrast(speech, text, "clip", 0.2)
    torch.testing.assert_close(hard_caption_loss(speech, text, temperature=0.2), wanted)
    hard = rows(1, 6, 3, seed=5)
    none = hard_caption_loss(speech, text, hard, own=0, cross=0, temperature=0.2)
    torch.testing.assert_close(none, wanted)


@pytest.mark.parametrize(("own", "cross"), [(1, 0), (0, 1), (1, 1), (0, 0)])
def test_gradients_are_finite_and_go_where_weights_are(own, cross):
    speech, text, hard = (rows(*s, seed=3).requires_grad_() for s in ((4, 3), (4, 3), (2, 4, 3)))
    hard_caption_loss(speech, text, hard, own=own, cross=cross).backward()
    assert speech.grad.isfinite().all()
    assert text.grad.isfinite().all()
    assert (hard.grad is not None and bool(hard.grad.any())) == bool(own or cross)


def test_weights_below_0_are_refused():
    with pytest.raises(ValueError, match="own and cross are -1 and 0"):
        hard_caption_loss(rows(2, 3), rows(2, 3), rows(1, 2, 3), own=-1)


# Text towers


def test_latent_text_knows_words_and_parts_of_words():
    texts = ["turn the light on", "turn the light off", "play a song", "play some music", "stop"]
    tower = LatentText(texts, dims=3)
    vectors = tower([*texts, "lights", "xyz", ""])
    assert vectors.shape == (8, tower.dims) == (8, 3)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1] * 6 + [0, 0], atol=1e-6)
    on, off, song, *_ = vectors
    assert on @ off > 0.8 > on @ song
    assert vectors[5] @ on > vectors[5] @ song
    np.testing.assert_array_equal(LatentText(texts * 3, dims=3)(texts), vectors[:5])
    assert LatentText(texts, dims=99).dims == 4


def test_latent_text_needs_texts_and_scikit_learn(monkeypatch):
    with pytest.raises(UserError, match="1 different texts; expected 2 or more"):
        LatentText(["a word", "a word"])
    monkeypatch.setitem(sys.modules, "sklearn.pipeline", None)
    with pytest.raises(UserError, match=r"pip install 'nearfar-speech\[zero-shot\]'"):
        LatentText(["a", "b"])


def test_prompts_of_a_class_are_averaged():
    vectors = {"a": [3.0, 0.0], "b": [0.0, 1.0], "c": [0.0, 0.0]}
    tower = lambda texts: [vectors[text] for text in texts]  # noqa: E731
    half = 0.5**0.5
    found = prompt_vectors(tower, {"one": "a", "two": ["a", "b"]})
    np.testing.assert_allclose(found, [[1, 0], [half, half]], atol=1e-6)
    for prompts in ({"one": "a", "two": "c"}, {"two": []}):
        with pytest.raises(UserError, match="class 'two': its prompts say nothing"):
            prompt_vectors(tower, prompts)


def test_captions_are_read_in_order_and_alone():
    torch.manual_seed(0)
    tower = CaptionTower(dims=5)
    texts = ["seven then three", "three then seven", "three", "never heard"]
    vectors = tower.embed(texts)
    assert vectors.shape == (4, 5)
    np.testing.assert_allclose(vectors.norm(dim=1), np.ones(4), rtol=1e-5)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(tower.embed([text])[0], vector, atol=1e-6)
    assert min(float(1 - a @ b) for a, b in itertools.combinations(vectors, 2)) > 1e-4
    with pytest.raises(ValueError, match="a caption has no word"):
        tower.embed(["a", " "])


# The speech tower


@pytest.fixture(scope="module")
def encoder():
    return make_encoder(frozen=6)


def test_clips_are_embedded_alone_and_in_order(encoder):
    torch.manual_seed(0)
    tower = SpeechTower(encoder, dims=4).eval()
    torch.nn.init.normal_(tower.norm.bias)  # padding is not 0 after it
    clips = [torch.randn(n, 1, 96) for n in (1, 2, 5, 8)]
    vectors = tower.embed(clips)
    assert vectors.shape == (4, 4)
    np.testing.assert_allclose(vectors.norm(dim=1), np.ones(4), rtol=1e-5)
    for clip, vector in zip(clips, vectors, strict=True):
        np.testing.assert_allclose(tower.embed([clip])[0], vector, atol=1e-6)
    np.testing.assert_allclose(tower.embed(clips, batch=1), vectors, atol=1e-6)
    turned = tower.embed([clips[-1].flip(0)])[0]
    assert not np.allclose(turned, vectors[-1], atol=1e-3)
    # Both directions see the whole clip: the first frame and the last one count.
    for place in (0, -1):
        changed = clips[-1].clone()
        changed[place] += torch.randn(1, 96)
        assert not np.allclose(tower.embed([changed])[0], vectors[-1], atol=1e-4)


def test_the_second_network_reads_backward(encoder):
    tower = SpeechTower(encoder, dims=4, hidden=6).eval()
    tower.back.load_state_dict(tower.onward.state_dict())
    with torch.no_grad():
        tower.project.weight[:, 6:] = tower.project.weight[:, :6]
    clips = [torch.randn(n, 1, 96) for n in (4, 8)]
    turned = [clip.flip(0) for clip in clips]
    np.testing.assert_allclose(tower.embed(turned), tower.embed(clips), atol=1e-6)


def test_frames_are_averaged_in_pairs():
    frames = torch.tensor([[1.0, 3, 5, 99, 99], [1, 3, 5, 7, 11], [2, 99, 99, 99, 99]])[..., None]
    means, lengths = in_pairs(frames, torch.tensor([3, 5, 1]))
    assert lengths.tolist() == [2, 3, 1]
    assert means.squeeze(2).tolist() == [[2, 5, 0], [2, 6, 11], [2, 0, 0]]


# Batches and joined clips


def test_batches():
    first = [batch.tolist() for batch in islice(shuffled_batches(7, 3, seed=1), 4)]
    assert [len(batch) for batch in first] == [3] * 4
    for one, two in (first[:2], first[2:]):
        assert len({*one, *two}) == 6
    assert first[:2] != first[2:]
    assert first == [b.tolist() for b in islice(shuffled_batches(7, 3, seed=1), 4)]
    (few,) = islice(shuffled_batches(2, 9, seed=1), 1)
    assert sorted(few.tolist()) == [0, 1]


def test_no_caption_is_twice_in_a_batch():
    captions = list("aaabbcdddd")
    seen = set()
    for batch in islice(distinct_batches(captions, 3, seed=0), 60):
        chosen = [captions[i] for i in batch.tolist()]
        assert len(chosen) == len(set(chosen)) == 3
        seen |= set(batch.tolist())
    assert seen == set(range(10))
    assert len(next(distinct_batches(captions, 9, seed=0))) == 4


@pytest.mark.parametrize(("apart", "length"), [(0, 50), (7, 57), (-10, 40), (-99, 31)])
def test_joined(apart, length):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=30).astype("f4"), 50 * rng.normal(size=20).astype("f4")
    whole = joined(first, second, apart)
    assert len(whole) == length
    assert whole.dtype == np.float32
    alone = 30 - 20 + 1 if apart < -19 else min(30, 30 + apart)
    scaled = 0.1 * first / np.sqrt(np.mean(first**2))
    np.testing.assert_allclose(whole[:alone], scaled[:alone], rtol=1e-5)
    if apart >= 0:
        assert not whole[30 : 30 + apart].any()
        assert np.sqrt(np.mean(whole[-20:] ** 2)) == pytest.approx(0.1, rel=1e-3)
    assert not joined(np.zeros(3, "f4"), np.zeros(3, "f4")).any()


# Estimators, on words that are tones

TONES = {"low": 300, "middle": 900, "high": 2400}
THINGS = {"buzz": 500, "hum": 1400, "ring": 3500}


def sound(hertz, rng, seconds=0.35):
    t = np.arange(int(seconds * 16_000)) / 16_000
    wave = np.sin(2 * np.pi * hertz * rng.uniform(0.97, 1.03) * t + rng.uniform(0, 6))
    return (0.3 * wave + 0.02 * rng.normal(size=len(t))).astype("f4")


@pytest.fixture(scope="module")
def features(encoder):
    """Of two tones each, by name: ``low hum 3``."""
    made, rng = Features(encoder), np.random.default_rng(0)
    words = TONES | THINGS
    for one, two in itertools.permutations(words, 2):
        for i in range(4):
            made.add(
                f"{one} {two} {i}",
                torch.from_numpy(joined(sound(words[one], rng), sound(words[two], rng))),
            )
    return made


def names_of(pairs, numbers):
    names = [f"{one} {two} {i}" for one, two in pairs for i in numbers]
    return names, [name.rpartition(" ")[0] for name in names]


@pytest.mark.parametrize("loss", ["cwcl", "clip"])
def test_classes_that_were_never_trained(features, loss):
    pairs = list(itertools.product(TONES, THINGS))
    held = [("low", "buzz"), ("middle", "hum"), ("high", "ring")]
    train = names_of([p for p in pairs if p not in held], range(4))
    model = ZeroShot(loss=loss, encoder_options={"frozen": 6}, features=features, steps=40,
                     batch=24)  # fmt: skip
    assert model.fit(*train) is model
    clips, true = names_of(held, range(4))
    prompts = {" ".join(p): " ".join(p) for p in held}
    predicted = model.predict(clips, prompts)
    assert np.mean(predicted == np.array(true)) >= 0.75  # chance 1/3
    scores = model.decision_function(clips, prompts)
    assert scores.shape == (12, 3)
    assert np.abs(scores).max() <= 1 + 1e-5
    assert model.transform(clips).shape == (12, model.text_(["low"]).shape[1])
    again = ZeroShot(loss=loss, encoder_options={"frozen": 6}, features=features, steps=40,
                     batch=24)  # fmt: skip
    np.testing.assert_array_equal(again.fit(*train).transform(clips), model.transform(clips))


def test_a_text_tower_of_ones_own_and_clips_of_files(tmp_path):
    rng = np.random.default_rng(0)
    files = []
    for i, hertz in enumerate([300, 2400] * 2):
        files.append(tmp_path / f"{i}.wav")
        soundfile.write(files[-1], sound(hertz, rng), 16_000)
    known = {"low": [1.0, 0.0, 0.0], "high": [0.0, 1.0, 0.0]}
    model = ZeroShot(text=lambda texts: [known[t] for t in texts], steps=20, batch=4)
    model.fit(files, ["low", "high"] * 2)
    assert model.predict(files, {"a": "low", "b": ["high"]}).tolist() == ["a", "b"] * 2
    assert model.transform(files).shape == (4, 3)


def test_order_is_told_by_hard_captions(features):
    pairs = list(itertools.permutations(TONES | THINGS, 2))
    clips, _ = names_of(pairs, range(3))
    captions = [then(*name.split()[:2]) for name in clips]
    turned = [[then(*name.split()[1::-1])] for name in clips]
    model = OrderContrast(encoder_options={"frozen": 6}, features=features, steps=60, batch=16)
    model.fit(clips, captions, turned)
    tests, _ = names_of(pairs, [3])
    right, wrong = ([then(*name.split()[:2][::way]) for name in tests] for way in (1, -1))
    scores = model.scores(tests, right + wrong)
    count = len(tests)
    assert scores.shape == (count, 2 * count)
    first = np.arange(count)
    assert np.mean(scores[first, first] > scores[first, count + first]) > 0.9
    assert model.transform(tests).shape == (count, 64)


def test_hard_captions_go_with_their_clips(features, monkeypatch):
    clips, captions = names_of(list(itertools.permutations(TONES, 2)), [0])
    seen = []

    def noted(speech, text, hard=None, **weights):
        seen.append((text, hard, weights))
        return hard_caption_loss(speech, text, hard, **weights)

    monkeypatch.setattr("nearfar_speech.audio_text.order_contrast.hard_caption_loss", noted)
    model = OrderContrast(encoder_options={"frozen": 6}, features=features, steps=3, batch=4,
                          own=0.5, cross=0.25, temperature=0.2)  # fmt: skip
    model.fit(clips, captions, [[caption, caption] for caption in captions])
    for text, hard, weights in seen:
        assert hard.shape == (2, 4, 64)
        for each in hard:
            torch.testing.assert_close(each, text)
        assert weights == {"own": 0.5, "cross": 0.25, "temperature": 0.2}
    model.fit(clips, captions)
    assert len(seen) == 6
    assert seen[-1][1] is None


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: ZeroShot().fit(["a.wav"], ["a"]), "1 clips and 1 texts"),
        (lambda: ZeroShot().fit(["a.wav", "b.wav"], ["a"]), "2 clips and 1 texts"),
        (lambda: OrderContrast().fit(["a", "b"], ["x", "x"]), "2 clips and 2 captions"),
        (lambda: OrderContrast().fit(["a", "b"], ["x"]), "2 clips and 1 captions"),
        (
            lambda: OrderContrast().fit(["a", "b"], ["x", "y"], [["z"], ["y", "z"]]),
            r"hard captions of 2 clips, \[1, 2\] each; expected of 2",
        ),
        (
            lambda: OrderContrast().fit(["a", "b"], ["x", "y"], [["z"]]),
            r"hard captions of 1 clips, \[1\] each",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted(fit, message):
    with pytest.raises(UserError, match=message):
        fit()
