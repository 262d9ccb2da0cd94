"""A sentence encoder in the place of the hashed one: a tiny transformer, made here."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from nearfar_kit.sentences import sentence_width
from nearfar_kit.torchaudio_compat import ensure_torchaudio
from nearfar_tables.blocking import block
from nearfar_tables.matching import learn
from nearfar_tables.pair_model import PairModel
from nearfar_tables.sentences import EXTRA, embed_sentences
from nearfar_tables.settings import TablesSettings
from nearfar_tables.simulate import simulate


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("transformers")
    ensure_torchaudio()
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return str(folder)


def test_a_value_has_one_vector_of_unit_norm_in_any_company(encoder):
    assert sentence_width(encoder, extra=EXTRA) == 16
    alone = embed_sentences(["red ale"], encoder)
    from nearfar_tables import sentences

    sentences._known.cache_clear()
    found = embed_sentences(["a much longer value of many words", "red ale", "red ale"], encoder)
    assert found.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[1], alone[0], atol=1e-5)
    np.testing.assert_array_equal(found[1], found[2])
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert embed_sentences([], encoder).shape == (0, 16)


def test_a_value_is_embedded_once(encoder, monkeypatch):
    from nearfar_tables import sentences

    sentences._known.cache_clear()
    asked = []
    plain = sentences.sentence_vectors

    def heard(values, own, **more):
        asked.extend(values)
        return plain(values, own, **more)

    monkeypatch.setattr(sentences, "sentence_vectors", heard)
    embed_sentences(["red ale", "stout", "red ale"], encoder)
    embed_sentences(["stout", "porter"], encoder)
    assert sorted(asked) == ["porter", "red ale", "stout"]


def test_matching_reads_it(encoder, tmp_path):
    tables, _ = simulate(30, seed=3)
    source = np.repeat(np.arange(3), [table.height for table in tables.values()])
    frame = pl.concat(tables.values())
    pairs = block(frame, source=source)
    settings = TablesSettings(epochs=1, encoder=encoder, rows=20)
    model, found = learn(frame, pairs, source=source, settings=settings)
    assert model.matcher.project.in_features == 16
    model.save(tmp_path / "model.safetensors")
    again = PairModel.load(tmp_path / "model.safetensors")
    np.testing.assert_allclose(again.score(frame, pairs), found.score, rtol=1e-4, atol=1e-4)
