"""Training: what a model keeps, what a stopped run goes on to, what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from nearfar_har.encoder import make_encoder
from nearfar_har.finetune import finetune, predict, probe_classifier
from nearfar_har.model import HarModel
from nearfar_har.probe import embed, linear_probe
from nearfar_har.scale import Scale
from nearfar_har.settings import HarSettings
from nearfar_har.train import train
from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Metrics
from nearfar_kit.run import RunFolder


def subset(windows, rows):
    return windows.select(np.asarray(rows))


class TestModel:
    @pytest.mark.parametrize("readout", ["probe", "tuned"])
    def test_saved_and_loaded_it_says_the_same(self, windows, quick, tmp_path, readout):
        settings = HarSettings(**quick.model_dump() | {"readout": readout})
        model = train(windows, settings, seed=1)
        model.save(tmp_path / "m.safetensors")
        back = HarModel.load(tmp_path / "m.safetensors")
        for one, two in zip(model.probabilities(windows), back.probabilities(windows), strict=True):
            np.testing.assert_array_equal(one, two)

    def test_devices_vote_and_absent_ones_do_not(self, windows, model):
        alone = {}
        for device, name in enumerate(windows.devices[:2]):
            present = np.zeros_like(windows.present)
            present[:, device] = True
            alone[name], spoke = model.probabilities(replace(windows, present=present))
            assert (spoke == 1).all()
            predicted, rows = model.device_predictions(windows, name)
            np.testing.assert_array_equal(alone[name][rows].argmax(1), predicted)
        present = windows.present.copy()
        present[:, 2:] = False
        present[:5] = False
        both, spoke = model.probabilities(replace(windows, present=present))
        expected = np.sqrt(alone[windows.devices[0]] * alone[windows.devices[1]])
        expected /= expected.sum(1, keepdims=True)
        np.testing.assert_allclose(both[5:], expected[5:], atol=1e-5)
        assert (spoke[:5] == 0).all()
        np.testing.assert_allclose(both[:5], 1 / len(windows.activities))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"rate": 50.0}, "windows of 50 samples at 50 Hz; the model expects 50 at 25 Hz"),
            ({"devices": ("a", "b", "c", "d", "e")}, "none is known to the model; expected some"),
        ],
    )
    def test_windows_of_another_kind(self, windows, model, change, told):
        with pytest.raises(UserError, match=told):
            model.probabilities(replace(windows, **change))

    def test_a_file_that_holds_something_else(self, tmp_path, model):
        save_checkpoint(tmp_path / "a", {"format": "other"})
        with pytest.raises(UserError, match="a: is of format 'other'; expected 'nearfar-har"):
            HarModel.load(tmp_path / "a")
        model.save(tmp_path / "b")
        state = load_checkpoint(tmp_path / "b")
        del state["encoder"]["stages.0.0.weight"]
        save_checkpoint(tmp_path / "b", state)
        with pytest.raises(UserError, match="b: is a damaged nearfar-har model 1"):
            HarModel.load(tmp_path / "b")


class TestClassifiers:
    @pytest.mark.parametrize("classes", [(0, 1, 2, 3), (1, 3), (0, 2, 5)])
    def test_a_probe_is_scikit_learns_as_one_layer(self, windows, classes):
        rows = np.flatnonzero(np.isin(windows.activity, classes))
        x = Scale.of(windows).apply(windows.signals[rows, 0])
        encoder = make_encoder("residual", windows.samples).eval()
        folded = probe_classifier(encoder, x, windows.activity[rows], 8, 0.1)
        regression = linear_probe(embed(encoder, x), windows.activity[rows], 0.1)
        p = predict(folded, x)
        expected = regression.predict_proba(embed(encoder, x))
        np.testing.assert_allclose(p[:, classes], expected, atol=1e-4)
        assert p.shape == (len(rows), 8)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)

    def test_frozen_stages_stay_and_the_encoder_given_is_left_alone(self, windows):
        encoder = make_encoder("residual", windows.samples)
        before = {k: v.clone() for k, v in encoder.state_dict().items()}
        x = Scale.of(windows).apply(windows.signals[:, 0])
        options = {"steps": 5, "batch": 32, "learning_rate": 1e-2, "rotation": 0.0, "seed": 0}
        activity = torch.from_numpy(windows.activity)
        tuned = finetune(encoder, x, activity, 8, stages=1, **options)
        assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
        after = tuned.encoder.state_dict()
        moved = {k.split(".")[1] for k in before if not torch.equal(after[k], before[k])}
        assert moved == {"2"}
        whole = finetune(encoder, x, activity, 8, stages=None, **options).encoder.state_dict()
        moved = {k.split(".")[1] for k in before if not torch.equal(whole[k], before[k])}
        assert moved == {"0", "1", "2"}

    def test_the_seed_decides(self, windows):
        x = Scale.of(windows).apply(windows.signals[:, 0])
        activity = torch.from_numpy(windows.activity)
        encoder = make_encoder("transform_net", windows.samples)
        made = [
            predict(
                finetune(
                    encoder, x, activity, 8, stages=None, steps=3, batch=32, learning_rate=1e-3,
                    rotation=0.5, seed=seed,
                ),
                x[:20],
            )
            for seed in (0, 0, 1)
        ]  # fmt: skip
        np.testing.assert_array_equal(made[0], made[1])
        assert not np.array_equal(made[0], made[2])


class TestWhatIsRefused:
    def test_labels_of_one_activity_or_none(self, windows, quick):
        one = subset(windows, np.flatnonzero(windows.activity == 2))
        with pytest.raises(UserError, match="labels: only 'standing' found; expected windows of"):
            train(one, quick, seed=0)
        none = replace(windows, activity=np.full_like(windows.activity, -1))
        with pytest.raises(UserError, match="labels: no activity found"):
            train(none, quick, seed=0)

    def test_a_device_without_labels_gets_no_classifier(self, windows, quick, tmp_path):
        present = windows.present.copy()
        present[windows.activity >= 0, 1] = False
        run = RunFolder(tmp_path / "r", quick)
        model = train(replace(windows, present=present), quick, seed=0, run=run)
        assert windows.devices[1] not in model.classifiers
        assert windows.devices[1] in (tmp_path / "r" / "log.jsonl").read_text()

    def test_one_device_teaches_itself(self, windows, quick):
        """A lone device has no positives of other devices: SimCLR's task still works."""
        alone = replace(
            windows, devices=windows.devices[:1], signals=windows.signals[:, :1],
            present=windows.present[:, :1],
        )  # fmt: skip
        settings = HarSettings(**quick.model_dump() | {"pretext": "simclr"})
        assert list(train(alone, settings, seed=0).classifiers) == [windows.devices[0]]

    def test_a_rate_too_high_is_told(self, windows, quick):
        settings = HarSettings(**quick.model_dump() | {"learning_rate": 1e30})
        with pytest.raises(UserError, match=r"^training, step \d+: .*; expected finite numbers"):
            train(windows, settings, seed=0)

    def test_resuming_with_another_seed(self, windows, quick, tmp_path):
        train(windows, quick, seed=0, run=RunFolder(tmp_path / "r", quick))
        again = RunFolder(tmp_path / "r", quick, resume=True)
        with pytest.raises(UserError, match="began with seed 0, now 1; expected the same"):
            train(windows, quick, seed=1, run=again)
        with pytest.raises(UserError, match="began with windows"):
            train(subset(windows, range(0, len(windows), 2)), quick, seed=0, run=again)

    @pytest.mark.parametrize("pretext", ["colossl", "none"])
    def test_resuming_with_others_held_out_or_other_data(self, windows, quick, tmp_path, pretext):
        """An encoder that has seen those held out now would be tested on what it knows."""
        settings = HarSettings(**quick.model_dump() | {"pretext": pretext})
        rest, _ = windows.split_by_subject("s3")
        train(rest, settings, seed=0, run=RunFolder(tmp_path / "r", settings))
        again = RunFolder(tmp_path / "r", settings, resume=True)
        train(rest, settings, seed=0, run=again)
        other, _ = windows.split_by_subject("s2")
        with pytest.raises(UserError, match=r"began with training subjects \(all but --hold-out"):
            train(other, settings, seed=0, run=again)
        unit = replace(rest, signals=rest.signals * np.float32(2))
        labels = replace(rest, activity=rest.activity[::-1].copy())
        for changed in (unit, labels):
            with pytest.raises(UserError, match="began with data of the digest"):
                train(changed, settings, seed=0, run=again)
        assert "s1" not in (tmp_path / "r" / "log.jsonl").read_text()


# Saves at each step and tells so, that a test can stop it anywhere.
TRAIN = """
import sys, time
import nearfar_kit.work
from nearfar_har.pretrain import Pretraining
nearfar_kit.work.SAVE_EVERY = 0.0
step = Pretraining.step
def told(self):
    loss = step(self)
    print(self.done, flush=True)
    time.sleep(0.02)
    return loss
Pretraining.step = told
from nearfar_har.cli import main
main()
"""


STEPS = 25


def command(data, out, *more):
    sets = [f"--set=steps={STEPS}", "--set=batch=16", "--set=encoder=transform_net"]
    sets.append("--set=tuned_steps=5")
    arguments = ["train", "--data", str(data), "--out", str(out), "--device", "cpu", "--quiet"]
    return [sys.executable, "-c", TRAIN, *arguments, *sets, *more]


def records(out):
    return Metrics.read(out / "metrics.json").records


@pytest.fixture(scope="module")
def whole(table_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(command(table_file, out), check=True, stdout=subprocess.DEVNULL)
    return records(out)


class TestStopped:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
    def test_it_resumes_to_the_same_numbers(self, whole, table_file, tmp_path, number):
        out = tmp_path / "run"
        begun = subprocess.Popen(
            command(table_file, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert begun.stdout is not None
        for line in begun.stdout:
            if int(line) == 10:
                break
        os.kill(begun.pid, number)
        _, errors = begun.communicate(timeout=60)
        if number != signal.SIGKILL:
            assert begun.returncode == 130
            assert errors.strip().endswith("--resume goes on from there")
            assert "Traceback" not in errors
        assert not (out / "metrics.json").exists()
        assert (out / "settings.yaml").exists()
        again = subprocess.run(
            command(table_file, out, "--resume"), capture_output=True, text=True, check=True
        )
        steps = [int(line) for line in again.stdout.splitlines() if line.isdigit()]
        assert 10 <= steps[0] <= 13  # it went on, and did not begin anew
        assert steps[-1] == STEPS
        assert records(out) == whole

    def test_twice_from_the_same_seed(self, whole, table_file, tmp_path):
        subprocess.run(command(table_file, tmp_path / "r"), check=True, capture_output=True)
        assert records(tmp_path / "r") == whole


def test_two_processes_train_one_model(table_file, tmp_path):
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone",
         "-m", "nearfar_har.cli", "train", "--data", str(table_file), "--out", str(out),
         "--device", "cpu", "--set=steps=6", "--set=batch=16", "--set=tuned_steps=5"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {r.metric for r in Metrics.read(out / "metrics.json").records} == {
        "macro_f1", "f1", "precision", "recall",
    }  # fmt: skip
    assert done.stdout.count("report:") == 1
