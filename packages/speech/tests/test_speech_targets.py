"""Strings that carry a clip's meaning, there and back; the vocabulary they are spelt in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar_kit.errors import UserError
from nearfar_speech.clip import Clip
from nearfar_speech.readers import find_clips
from nearfar_speech.targets import Target, parse_target
from nearfar_speech.tokens import EOS, PAD, SOS, UNK, Tokens

TEXTS = [
    "alarm_set _SEP time _FILL eight am _SEP date _FILL friday _SEP wake me at eight am on friday",
    "alarm_query _SEP when do i have to get up",
    "lights_on _SEP room _FILL kitchen",
    "stop",
]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target("stop"), "stop"),
        (Target("stop", (), "stop it"), "stop _SEP stop it"),
        (Target("on", (("room", "hall"),)), "on _SEP room _FILL hall"),
        (
            Target("set", (("time", "eight am"), ("date", "friday"), ("date", "monday")), "at 8"),
            "set _SEP time _FILL eight am _SEP date _FILL friday _SEP date _FILL monday _SEP at 8",
        ),
    ],
)
def test_there_and_back(target, text):
    assert target.text == text
    assert parse_target(text) == target


def test_a_clip_gives_its_target(tmp_path):
    clip = Clip(tmp_path, "set", (("time", " eight   am"),), "  wake\nme ")
    assert Target.of(clip).text == "set _SEP time _FILL eight am _SEP wake me"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(""), "intent is empty"),
        (Target("on", (("", "hall"),)), "slot type is empty"),
        (Target("on", (("room", " "),)), "slot filler is empty"),
        (Target("on", (("room", "a _SEP b"),)), "slot filler 'a _SEP b' holds _SEP"),
        (Target("on", (), "fill _FILL in"), "transcript 'fill _FILL in' holds _FILL"),
    ],
)
def test_what_cannot_be_written(target, message):
    with pytest.raises(UserError, match=message):
        _ = target.text


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("", Target("")),
        ("_SEP", Target("")),
        ("_FILL x _SEP y", Target("", (), "y")),
        ("set_SEPtime_FILLeight_SEPwake me", Target("set", (("time", "eight"),), "wake me")),
        ("set _SEP _FILL eight", Target("set")),
        ("set _SEP time _FILL", Target("set", (("time", ""),))),
        ("set _SEP time _FILL a _FILL b", Target("set", (("time", "a b"),))),
        ("set _SEP a _SEP k _FILL v _SEP b", Target("set", (("k", "v"),), "a b")),
        ("set _FILL x _SEP y", Target("set", (), "y")),
        ("set _SEP _SEP _SEP y", Target("set", (), "y")),
    ],
)
def test_garbage_means_what_it_can(text, target):
    assert parse_target(text) == target


@given(st.lists(st.sampled_from(["_SEP", "_FILL", " ", "a", "b_c", "\n"])).map("".join))
def test_any_string_is_parsed_and_what_it_says_is_stable(text):
    target = parse_target(text)
    if target.intent and all(filler for _, filler in target.slots):
        assert parse_target(target.text) == target


words = st.text("abcé'", min_size=1, max_size=5)


@given(words, st.lists(st.tuples(words, words)), st.lists(words).map(" ".join))
def test_every_target_comes_back(intent, slots, transcript):
    target = Target(intent, tuple(slots), transcript)
    assert parse_target(target.text) == target


# Tokens


@pytest.fixture(scope="module")
def tokens():
    return Tokens.train(TEXTS, 80)


def test_ids_and_size(tokens):
    assert (PAD, UNK, SOS, EOS) == (0, 1, 2, 3)
    assert len(tokens) <= 80
    ids = [i for text in TEXTS for i in tokens.encode(text)]
    assert min(ids) > EOS
    assert max(ids) < len(tokens)


def test_texts_come_back(tokens):
    for text in TEXTS:
        assert tokens.decode(tokens.encode(text)) == text
        assert tokens.decode([SOS, *tokens.encode(text), EOS, 9, 9, PAD]) == text
    assert tokens.decode([]) == tokens.decode([EOS]) == ""


def test_each_marker_is_one_token(tokens):
    sep = [i for i in tokens.encode("_SEP") if tokens.decode([i]).strip()]
    fill = [i for i in tokens.encode("_FILL") if tokens.decode([i]).strip()]
    assert len(sep) == len(fill) == 1
    assert tokens.encode(TEXTS[0]).count(sep[0]) == 3
    assert tokens.encode(TEXTS[0]).count(fill[0]) == 2


def test_words_of_later_tasks_are_spelt_and_strange_signs_unknown(tokens):
    assert tokens.decode(tokens.encode("alarm_off _SEP mend it")) == "alarm_off _SEP mend it"
    assert UNK in tokens.encode("日")


def test_byte_fallback_spells_what_the_texts_lack_and_changes_nothing_else(tokens):
    wide = Tokens.train(TEXTS, 80, byte_fallback=True)
    assert len(wide) == len(tokens) + 256
    for text in TEXTS:
        assert [wide.decode([i]) for i in wide.encode(text)] == [
            tokens.decode([i]) for i in tokens.encode(text)
        ]
    later = "alarm_off _SEP yes, où est 日 _FILL 7's <0x41>"
    assert tokens.unknown(later) == tuple(",ù日7'<0x41>")
    assert wide.unknown(later) == ()
    assert wide.decode(wide.encode(later)) == later
    draw = np.random.default_rng(0)
    drawn = [wide.encode(later, 0.5, draw) for _ in range(5)]
    assert {wide.decode(ids) for ids in drawn} == {later}
    assert UNK not in {i for ids in drawn for i in ids}
    assert len(Tokens.train(TEXTS, 100_000, byte_fallback=True)) == (
        len(Tokens.train(TEXTS, 100_000)) + 256
    )


def test_the_same_texts_give_the_same_tokens(tokens):
    assert Tokens.train(TEXTS, 80).model == tokens.model


def test_dropout_splits_words_in_other_ways_and_keeps_the_text(tokens):
    draw = np.random.default_rng(0)
    drawn = [tokens.encode(TEXTS[0], 0.5, draw) for _ in range(5)]
    assert len({tuple(ids) for ids in drawn}) > 1
    assert {tokens.decode(ids) for ids in drawn} == {TEXTS[0]}
    draw = np.random.default_rng(0)
    assert [tokens.encode(TEXTS[0], 0.5, draw) for _ in range(5)] == drawn
    # Hardly a chance: as SentencePiece merges.
    for text in TEXTS:
        assert tokens.encode(text, 1e-12, draw) == tokens.encode(text)
    with pytest.raises(ValueError, match="dropout is 1"):
        tokens.encode("a", dropout=1)
    with pytest.raises(ValueError, match="needs a generator"):
        tokens.encode("a", dropout=0.5)


def test_an_id_outside_the_vocabulary(tokens):
    for number in (-1, len(tokens)):
        with pytest.raises(ValueError, match=f"token {number} is not among the {len(tokens)}"):
            tokens.decode([number])


def test_saved_and_loaded(tokens, tmp_path):
    tokens.save(tmp_path / "tokens.model")
    again = Tokens.load(tmp_path / "tokens.model", size=len(tokens))
    assert again.model == tokens.model
    assert again.encode(TEXTS[0]) == tokens.encode(TEXTS[0])


def load_fails(path, **options):
    with pytest.raises(UserError) as caught:
        Tokens.load(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_size_is_refused(tokens, tmp_path):
    path = tmp_path / "tokens.model"
    tokens.save(path)
    told = f"{path}: has {len(tokens)} tokens; the model was made for 1000"
    assert load_fails(path, size=1000) == told


def test_what_is_no_tokenizer(tmp_path):
    assert "cannot be read" in load_fails(tmp_path / "none.model")
    for content in (b"", b"rubbish", b"\x80\x04K\x01."):
        (tmp_path / "bad.model").write_bytes(content)
        assert "is no SentencePiece model" in load_fails(tmp_path / "bad.model")


def test_other_special_ids_are_refused():
    import io

    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(TEXTS), model_writer=written, model_type="bpe", vocab_size=50,
        minloglevel=2,
    )  # fmt: skip
    with pytest.raises(
        UserError, match=r"PAD, UNK, SOS, EOS are \(-1, 0, 1, 2\); expected 0, 1, 2, 3"
    ):
        Tokens(written.getvalue())


def test_no_text_is_too_long_to_be_learnt_from():
    tokens = Tokens.train([*TEXTS, "lights_on _SEP " + "turn it on " * 500 + "ß"], 80)
    assert UNK not in tokens.encode("ß")


def test_texts_too_few_or_a_size_too_small():
    assert len(Tokens.train(TEXTS, 100_000)) < 200
    with pytest.raises(UserError, match="no text to train on"):
        Tokens.train(["", "  "])
    with pytest.raises(UserError, match="a size of 9; these texts' characters need 10"):
        Tokens.train(["abc _SEP a _FILL b"], 9)
    assert len(Tokens.train(["abc _SEP a _FILL b"], 10)) == 10


@pytest.mark.data
def test_real_targets_come_back(real):
    for name in ("barista", "slurp"):
        targets = {Target.of(clip) for clip in find_clips(real(name), check="none").clips}
        texts = sorted(target.text for target in targets)
        assert {parse_target(text) for text in texts} == targets
        tokens = Tokens.train(texts, 1000)
        assert len(tokens) == {"barista": 427, "slurp": 1000}[name]
        assert all(tokens.decode(tokens.encode(text)) == text for text in texts)
