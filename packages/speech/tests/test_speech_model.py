"""The network and the search: masks, places, and the best sentence of all."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar_speech.encoders import make_encoder
from nearfar_speech.encoders.encoder import padded
from nearfar_speech.incremental import IncrementalSpelling
from nearfar_speech.model import SpeechModel
from nearfar_speech.search import beam_search, decode
from nearfar_speech.tokens import EOS, PAD, SOS

LENGTHS = (4_000, 9_001, 24_000)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SpeechModel(make_encoder(frozen=5), 20, width=16, layers=2, heads=2, contrast=8).eval()


@pytest.fixture(scope="module")
def features(model):
    generator = torch.Generator().manual_seed(0)
    return [model.encoder.front(0.1 * torch.randn(n, generator=generator)) for n in LENGTHS]


def test_padding_and_company_change_neither_frames_nor_logits(model, features):
    tokens = torch.tensor([[SOS, 5, 6, EOS, PAD], [SOS, 7, EOS, PAD, PAD], [SOS, 8, 9, 10, EOS]])
    heard = model.hear(*padded(features))
    logits, audio, text = model.spell(heard, tokens), model.audio(heard), model.text(tokens)
    for row, own in enumerate(features):
        ids = tokens[row][tokens[row] != PAD][None]
        alone = model.hear(*padded([own]))
        assert not alone.blank.any()
        torch.testing.assert_close(heard.mean()[row], alone.frames[0].mean(0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(audio[row], model.audio(alone)[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(text[row], model.text(ids)[0])
        told = model.spell(alone, ids)[0]
        torch.testing.assert_close(logits[row, : ids.shape[1]], told, atol=1e-4, rtol=1e-4)


def test_a_token_sees_those_before_it_alone_and_their_order(model, features):
    heard = model.hear(*padded(features[:1]))
    first = model.spell(heard, torch.tensor([[SOS, 5, 6, 7]]))
    later = model.spell(heard, torch.tensor([[SOS, 5, 6, 8]]))
    torch.testing.assert_close(first[:, :3], later[:, :3])
    assert (first[:, 3] - later[:, 3]).abs().max() > 1e-3
    turned = model.spell(heard, torch.tensor([[SOS, 6, 5, 7]]))
    assert (first[:, 3] - turned[:, 3]).abs().max() > 1e-3


def test_the_decoder_hears_the_order_of_frames(model, features):
    heard = model.hear(*padded(features[2:]))
    turned = type(heard)(heard.frames.flip(1), heard.blank)
    tokens = torch.tensor([[SOS, 5]])
    assert (model.spell(heard, tokens) - model.spell(turned, tokens)).abs().max() > 1e-4


def table(vocabulary, seed):
    """Log probabilities [V, V] of the next token after each one, another for each clip."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(3, vocabulary, vocabulary, generator=generator)).log_softmax(2)


def by_last(chains):
    """What follows by the last token alone, with the rows told to go on from checked."""
    before = [None]

    def following(clips, tokens, parents):
        if before[0] is not None:
            assert torch.equal(tokens[:, :-1], before[0][parents])
        before[0] = tokens
        return chains[clips.repeat_interleave(len(tokens) // len(clips)), tokens[:, -1]]

    return following


def score(sentence, chain, power):
    whole = [SOS, *sentence, EOS]
    total = sum(float(chain[a, b]) for a, b in itertools.pairwise(whole))
    return total / ((5 + len(sentence) + 1) / 6) ** power


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.6, 2.0]))
def test_a_beam_as_wide_as_all_sentences_finds_the_best(seed, power):
    vocabulary, limit = 5, 4
    chains = table(vocabulary, seed)
    others = [n for n in range(vocabulary) if n != EOS]
    found = beam_search(by_last(chains), 3, beam=vocabulary**limit, limit=limit, penalty=power)
    for clip, hypothesis in enumerate(found):
        sentences = [s for n in range(limit) for s in itertools.product(others, repeat=n)]
        best = max(sentences, key=lambda s: score(s, chains[clip], power))
        own, of_best = (score(t, chains[clip], power) for t in (hypothesis.tokens, best))
        assert own >= of_best - 1e-5  # of two as good, by rounding, either
        assert math.isclose(hypothesis.score, score(best, chains[clip], power), abs_tol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_beam_of_one_is_greedy(seed):
    chains = table(6, seed)
    for clip, found in enumerate(beam_search(by_last(chains), 3, beam=1, limit=8, penalty=0.0)):
        sentence, token = [], SOS
        for _ in range(8):
            token = int(chains[clip, token].argmax())
            if token == EOS:
                break
            sentence.append(token)
        assert list(found.tokens) == sentence


def test_a_longer_sentence_can_still_win_by_its_length():
    ways = torch.full((7, 7), 1e-9)
    ways[SOS, EOS], ways[SOS, 4] = 0.5, 0.4  # the end is likelier at first
    ways[4, 5] = ways[5, 6] = ways[6, EOS] = 1.0
    (found,) = beam_search(by_last(ways.log()[None]), 1, beam=3, limit=6, penalty=2.0)
    assert found.tokens == (4, 5, 6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_no_clip_changes_anothers_sentence(seed, beam):
    chains = table(7, seed)
    whole = beam_search(by_last(chains), 3, beam=beam, limit=6)
    for clip in range(3):
        (alone,) = beam_search(by_last(chains[clip:]), 1, beam=beam, limit=6)
        assert whole[clip].tokens == alone.tokens
        assert math.isclose(whole[clip].score, alone.score, abs_tol=1e-5)


def test_a_sentence_without_end_is_cut_at_the_limit():
    never = torch.zeros(1, 5, 5)
    never[..., EOS] = -1e4
    (found,) = beam_search(by_last(never.log_softmax(2)), 1, beam=2, limit=3)
    assert len(found.tokens) == 3


@pytest.mark.parametrize("beam", [1, 3])
def test_incremental_spelling_equals_whole_spelling(model, features, beam):
    """Where sentences change places, some clips end first, and clips are of unequal length."""
    heard = model.hear(*padded(features))
    spelling, called = IncrementalSpelling(model, heard), []

    def following(clips, tokens, parents):
        own = spelling(clips, tokens, parents)
        rows = clips.repeat_interleave(len(tokens) // len(clips))
        torch.testing.assert_close(own, model.spell(heard.rows(rows), tokens)[:, -1])
        called.append(len(clips))
        return (4 * own).log_softmax(1)  # sharper, so that sentences end

    with torch.no_grad():
        beam_search(following, len(features), beam=beam, limit=12)
    assert len(called) > 4


def test_decoding_leaves_the_model_as_it_was(model, features):
    model.train()
    found = decode(model, *padded(features), beam=2, limit=5, penalty=0.6)
    assert model.training
    model.eval()
    again = decode(model, *padded(features), beam=2, limit=5, penalty=0.6)
    assert [h.tokens for h in found] == [h.tokens for h in again]
    assert not model.training
