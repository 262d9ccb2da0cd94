"""Texts as vectors of a small encoder, made here."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from nearfar_bundle.data import split_of
from nearfar_bundle.sentences import told_by_sentences
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.train import train
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


def test_texts_that_are_empty_have_no_vector(folder):
    found = told_by_sentences({"title": TEXTS}, str(folder))["title sentences"]
    assert np.isnan(found).all(1).tolist() == [False, True, False, True, False]
    assert np.isfinite(found[[0, 2, 4]]).all()


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
