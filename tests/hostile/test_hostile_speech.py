"""Clips and their tables made to harm."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hostile_files import (
    assert_refused,
    changed,
    deep,
    pickled,
)


class TestSpeech:
    def refused(self, data, *more):
        return assert_refused("speech", "train", "--data", data, "--out", "run", *more)

    def sound(self, path, content=bytes(32_000), claimed=None, channels=1):
        with wave.open(path, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(content)
        if claimed:
            data = bytearray(Path(path).read_bytes())
            struct.pack_into("<I", data, 40, claimed)
            Path(path).write_bytes(data)

    def manifest(self, *paths):
        lines = [f"{path},intent{n % 2}" for n, path in enumerate(paths)]
        Path("clips.csv").write_text("\n".join(["path,intent", *lines, ""]))

    def test_json_nested_deeply(self):
        self.refused(deep("clips.json"))

    def test_a_path_that_leads_out(self):
        Path("data").mkdir()
        self.sound("outside.wav")
        Path("data/clips.csv").write_text("path,intent\n../outside.wav,a\n")
        self.refused("data/clips.csv")

    def test_audio_that_claims_to_be_endless(self):
        for n in range(4):
            self.sound(f"{n}.wav", content=b"", claimed=2**32 - 40)
        self.manifest("0.wav", "1.wav", "2.wav", "3.wav")
        self.refused("clips.csv")

    def test_audio_that_is_a_pickle(self):
        self.manifest(*(pickled(f"{n}.wav") for n in range(4)))
        self.refused("clips.csv")

    def test_a_tokenizer_that_is_a_pickle(self):
        for n in range(40):
            noise = np.random.default_rng(n).integers(-999, 999, 16_000).astype("<i2")
            self.sound(f"{n}.wav", noise.tobytes())
        self.manifest(*(f"{n}.wav" for n in range(40)))
        self.refused("clips.csv", "--tokenizer", pickled("evil.model"), "--set", "tasks=2")

    def test_a_run_whose_data_is_nested_deeply(self):
        deep("run/data/train.json")
        deep("run/data/curriculum.json")
        Path("run/settings.yaml").write_text("{}")
        assert_refused("speech", "train", "--resume", "--out", "run")

    def test_a_model_that_does_not_hold_together(self):
        from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
        from nearfar_kit.errors import UserError
        from nearfar_speech.continual import new_model
        from nearfar_speech.settings import SpeechSettings
        from nearfar_speech.tasks import Curriculum
        from nearfar_speech.tokens import Tokens
        from nearfar_speech.weights import Trained, load_model, save_model

        settings = SpeechSettings(width=8, layers=1, heads=2, contrast=4)
        tokens = Tokens.train(["turn on the light", "turn off"] * 5, 30)
        curriculum = Curriculum("intent", (("a",), ("b",)))
        model = new_model(settings, len(tokens))
        save_model("evil", Trained(model, tokens, settings, curriculum))
        file = Path("evil/model.safetensors")
        good = load_checkpoint(file)
        load_model("evil")
        nan = {name: own * float("nan") for name, own in good["weights"].items()}
        harms = [*changed(good), good | {"weights": nan},
                 *(good | {"settings": good["settings"] | own} for own in
                   ({"width": 8 * 10**6}, {"layers": 10**5}, {"contrast": 10**9}))]  # fmt: skip
        for state in harms:
            save_checkpoint(file, state)
            with pytest.raises(UserError):
                load_model("evil")
