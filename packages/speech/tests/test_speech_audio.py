"""Samples of any rate and kind, and one line for what is no audio."""

from __future__ import annotations

import pickle
import struct

import numpy as np
import pytest
import soundfile

from nearfar_kit.errors import UserError
from nearfar_speech.audio import AudioFault, inspect_audio, read_audio, resample


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_any_rate_becomes_16_khz_and_keeps_the_tone(tmp_path, write_tone, rate, suffix):
    audio = read_audio(write_tone(tmp_path / f"a.{suffix}", seconds=0.5, rate=rate, hertz=1000))
    assert audio.rate == 16_000
    assert audio.samples.dtype == np.float32
    assert len(audio.samples) == 8_000
    assert audio.seconds == 0.5
    assert not audio.clipped
    spectrum = np.abs(np.fft.rfft(audio.samples))
    assert np.argmax(spectrum) * 16_000 / 8_000 == pytest.approx(1000, abs=2)
    assert np.abs(audio.samples[1000:-1000]).max() == pytest.approx(0.5, abs=0.01)


def test_what_lies_above_the_new_half_rate_is_gone(tmp_path, write_tone):
    audio = read_audio(write_tone(tmp_path / "a.wav", seconds=0.5, rate=48_000, hertz=12_000))
    assert np.abs(audio.samples[500:-500]).max() < 0.01


def test_channels_are_averaged(tmp_path):
    left_right = np.stack([np.full(100, 0.5), np.full(100, -0.1)], axis=1)
    soundfile.write(tmp_path / "a.wav", left_right, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav").samples, 0.2, atol=1e-6)


def test_resample_wants_rates():
    with pytest.raises(ValueError, match="rates are 0 and 16000"):
        resample(np.zeros(4, np.float32), 0, 16_000)


def fault(path, **options):
    with pytest.raises(AudioFault) as caught:
        read_audio(path, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return caught.value


def test_missing_empty_and_too_long(tmp_path, write_tone):
    assert fault(tmp_path / "none.wav").kind == "missing"
    assert fault(tmp_path).kind == "missing"
    (tmp_path / "zero.wav").write_bytes(b"")
    assert fault(tmp_path / "zero.wav").kind == "empty"
    silent = write_tone(tmp_path / "nothing.wav", seconds=0)
    assert fault(silent).kind == "empty"
    long = fault(write_tone(tmp_path / "long.wav", seconds=0.3), max_seconds=0.2)
    assert (long.kind, long.detail) == ("too long", "lasts 0.3 s; expected at most 0.2 s")
    read_audio(tmp_path / "long.wav", max_seconds=0.3)


@pytest.mark.parametrize("content", [b"RIFF", b"hello there, I am no audio at all", b"fLaC\0\0\0"])
def test_what_is_no_audio(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    assert fault(tmp_path / "a.wav").kind == "unreadable"


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_truncated_file_is_not_read_as_a_short_one(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert fault(path).kind == "unreadable"
    assert "truncated" in str(fault(path))
    with pytest.raises(AudioFault, match="truncated"):
        inspect_audio(path, decode=True)
    if suffix == "wav":
        with pytest.raises(AudioFault, match=r"truncated: 79.. samples; its header tells 16000"):
            inspect_audio(path)


def test_a_wav_whose_writer_did_not_know_its_length(tmp_path, write_tone):
    path = write_tone(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    assert len(read_audio(path).samples) == 1600


def test_a_corrupt_flac(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    broken = bytearray(path.read_bytes())
    broken[5000:9000] = bytes(4000)
    path.write_bytes(broken)
    assert fault(path).kind == "unreadable"


def test_a_rate_of_0(tmp_path, write_tone):
    path = write_tone(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 24, 0)
    path.write_bytes(content)
    assert str(fault(path)) == f"{path}: its sampling rate is 0; expected a positive one"
    struct.pack_into("<I", content, 24, 2_147_483_647)
    path.write_bytes(content)
    assert "its sampling rate is 2147483647 Hz; expected 1 to 1000000" in str(fault(path))


def told_flac(path, rate=16_000, frames=1600):
    """A FLAC file of 1,600 samples whose header tells this rate and length."""
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 1600), 16_000)
    content = bytearray(path.read_bytes())
    word = int.from_bytes(content[18:26], "big")
    word = (rate << 44) | (word & ((1 << 44) - 1) & ~((1 << 36) - 1)) | frames
    content[18:26] = word.to_bytes(8, "big")
    path.write_bytes(content)
    return path


def test_a_flac_header_of_a_rate_of_0_or_of_more_than_there_is(tmp_path):
    path = told_flac(tmp_path / "a.flac")
    assert len(read_audio(path).samples) == 1600
    assert str(fault(told_flac(path, rate=0))).endswith(
        "its sampling rate is 0; expected a positive one"
    )
    assert fault(told_flac(path, frames=(1 << 36) - 1)).kind == "unreadable"


def test_a_flac_of_untold_length(tmp_path):
    assert "its header tells no length" in str(fault(told_flac(tmp_path / "a.flac", frames=0)))


def test_samples_that_are_no_numbers(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.nan, 0.1]), 16_000, subtype="FLOAT")
    assert "finite" in str(fault(tmp_path / "a.wav"))


def test_clipped_audio_is_read_and_told(tmp_path, write_tone):
    assert read_audio(write_tone(tmp_path / "loud.wav", level=2.0)).clipped
    assert not read_audio(write_tone(tmp_path / "full.wav", level=1.0, hertz=3000)).clipped
    assert inspect_audio(tmp_path / "loud.wav", decode=True) == (0.1, True)
    assert inspect_audio(tmp_path / "loud.wav") == (0.1, False)


def test_a_fault_survives_a_process_border(tmp_path):
    again = pickle.loads(pickle.dumps(fault(tmp_path / "none.wav")))
    assert isinstance(again, UserError)
    assert (again.kind, again.path) == ("missing", tmp_path / "none.wav")
