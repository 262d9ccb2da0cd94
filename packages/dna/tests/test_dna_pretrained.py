"""Published weights: what is taken, what is told, and that the encoder is the published one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from dnabert_reference import dnabert, random_weights
from safetensors.torch import save_file
from tokenizers.processors import TemplateProcessing

from nearfar_dna.alphabet import decode
from nearfar_dna.alphabet import encode as codes_of
from nearfar_dna.cli import app
from nearfar_dna.embed import read_embedding
from nearfar_dna.encoders import encode
from nearfar_dna.model import DnaModel
from nearfar_dna.pretrained import read_pretrained
from nearfar_dna.tokenizer import learn_tokenizer
from nearfar_kit.errors import UserError

HEADS, LAYERS, WIDTH, HIDDEN, VOCABULARY = 3, 2, 12, 20, 40
CONFIG = {
    "architectures": ["BertForMaskedLM"], "alibi_starting_size": 512, "hidden_act": "gelu",
    "hidden_size": WIDTH, "intermediate_size": HIDDEN, "layer_norm_eps": 1e-12,
    "num_attention_heads": HEADS, "num_hidden_layers": LAYERS, "pad_token_id": 0,
    "type_vocab_size": 2, "vocab_size": VOCABULARY,
}  # fmt: skip
HEAD = "cls.predictions.decoder.weight"
QKV = "bert.encoder.layer.1.attention.self.Wqkv.weight"
TEXTS = ["ACGTTGCAGGATTACA" * 2, "GGATTACATT", "ACGTTGCANNA" * 4]


@pytest.fixture(scope="module")
def weights():
    return random_weights(VOCABULARY, WIDTH, LAYERS, HIDDEN)


@pytest.fixture
def folder(weights, tmp_path, genomes):
    """As the release lays it out."""
    path = tmp_path / "DNABERT-2-117M"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = learn_tokenizer([genomes.genomes[0].pieces[0][:3000]], VOCABULARY)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path / "tokenizer.json"))
    write(path, weights)
    return path


def write(folder, weights, **changed):
    """model.safetensors, by the names of BERT with a head on it."""
    named = {f"bert.{name}": tensor for name, tensor in weights.items()}
    named |= {"bert.pooler.dense.bias": torch.ones(WIDTH), HEAD: torch.ones(VOCABULARY, WIDTH)}
    named |= changed
    save_file({k: v for k, v in named.items() if v is not None}, folder / "model.safetensors")


def test_the_encoder_is_the_published_one(folder, weights):
    encoder, _, report = read_pretrained(folder)
    assert report.whole
    assert len(report.loaded) == len(weights)
    assert set(report.unexpected) == {"bert.pooler.dense.bias", HEAD}
    codes = [codes_of(text) for text in TEXTS]
    together = encode(encoder.double(), encoder.prepare(codes))
    wide = {name: tensor.double() for name, tensor in weights.items()}
    for text, row in zip(TEXTS, together, strict=True):
        ids = encoder.tokenizer.encode(text).ids
        assert ids[0] == 1
        assert ids[-1] == 2
        expected = dnabert(wide, torch.tensor(ids), LAYERS, HEADS)
        assert torch.allclose(row, expected, rtol=1e-9, atol=1e-9)


def test_the_report_tells_each_key(folder, weights):
    write(folder, weights, **{QKV: torch.ones(3, 2), "bert.embeddings.LayerNorm.bias": None})
    told = (
        r"is not all of a DNABERT-2 encoder; 24 tensors loaded; 1 missing: norm.bias; 1 of another "
        r"shape: bert.encoder.layer.1.attention.self.Wqkv.weight \(3, 2\), expected \(36, 12\); "
        rf"2 left aside: bert.pooler.dense.bias, {HEAD}"
    )
    with pytest.raises(UserError, match=told):
        read_pretrained(folder)


@pytest.mark.parametrize("name", ["nan", "pickled", "damaged", "config", "act", "tokenizer"])
def test_one_clear_line(folder, weights, name):
    file = folder / "model.safetensors"
    if name == "nan":
        write(folder, weights, **{QKV: torch.full((3 * WIDTH, WIDTH), torch.nan)})
        told = f"{QKV} holds NaN"
    elif name == "pickled":
        file.rename(folder / "pytorch_model.bin")
        told = "pytorch_model.bin is pickled and not read; expected model.safetensors"
    elif name == "damaged":
        file.write_bytes(file.read_bytes()[:100])
        told = "is no safetensors file, or damaged"
    elif name == "config":
        (folder / "config.json").write_text(json.dumps(CONFIG | {"hidden_size": "12"}))
        told = "config.json: hidden_size is '12'; expected a number"
    elif name == "act":
        (folder / "config.json").write_text(json.dumps(CONFIG | {"hidden_act": "relu"}))
        told = "config.json: hidden_act is 'relu'; expected 'gelu'"
    else:
        (folder / "config.json").write_text(json.dumps(CONFIG | {"vocab_size": 8}))
        told = "tokenizer has 40 tokens; expected at most 8"
    with pytest.raises(UserError, match=told):
        read_pretrained(folder)


def test_the_command_line_embeds_and_trains_on(folder, genome_file, genomes, tmp_path, capsys):
    app(["embed", "--model", str(folder), "--data", str(genome_file), "--quiet",
         "--out", str(tmp_path / "x.npy")], standalone_mode=False)  # fmt: skip
    assert "26 tensors loaded; 2 left aside" in capsys.readouterr().err
    assert read_embedding(tmp_path / "x.npy")[1].shape == (30, WIDTH)
    app(["train", "--data", str(genome_file), "--out", str(tmp_path / "run"), "--device", "cpu",
         "--quiet", "--set=encoder=dnabert", f"--set=pretrained={folder}", "--set=max_tokens=32",
         "--set=steps=2", "--set=fragments_a_genome=4", "--set=shortest=300", "--set=longest=400",
         "--set=projection=8", "--set=head_rate=100", "--set=learning_rate=1e-4"],
        standalone_mode=False)  # fmt: skip
    trained, published = DnaModel.load(tmp_path / "run"), DnaModel.load(folder)
    codes = [codes_of(decode(genomes.genomes[0].pieces[0][:500]))]
    near = float((trained.embed(codes) * published.embed(codes)).sum())
    assert 0.9 < near < 1 - 1e-6
    assert np.isfinite(near)
