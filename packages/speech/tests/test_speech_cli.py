"""The command line end to end, on simulated words: train, stop, resume, extend, recognise."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from nearfar_kit.checkpoint import save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_speech.cli import app
from nearfar_speech.evaluate import json_line
from nearfar_speech.manifests import write_manifest
from nearfar_speech.recognise import Recognised
from nearfar_speech.simulate import simulate_clips
from nearfar_speech.targets import Target
from nearfar_speech.tasks import Curriculum
from nearfar_speech.weights import load_model

TINY = [f"--set={one}" for one in (
    "frozen=6", "width=8", "layers=1", "heads=2", "contrast=4", "memory=12", "epochs=1",
    "first_epochs=1", "batch=8", "vocabulary=60", "beam=1", "max_tokens=4", "tasks=3",
)]  # fmt: skip


def speech(*arguments):
    """Standard output; raises what the command raised."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Manifests of formant words, and one of the last two intents alone."""
    folder = tmp_path_factory.mktemp("words")
    clips = simulate_clips(folder / "wavs", speakers=4).clips
    for split in ("train", "valid", "test"):
        write_manifest(folder / f"{split}.json", [c for c in clips if c.split == split], folder)
    (folder / "first").mkdir()
    (folder / "last").mkdir()
    last = ("open", "quieter")
    for name, own in (("first", [c for c in clips if c.intent not in last]),
                      ("last", [c for c in clips if c.intent in last])):  # fmt: skip
        rows = [{"path": str(c.path), "intent": c.intent, "slots": dict(c.slots),
                 "transcript": c.transcript, "split": c.split} for c in own]  # fmt: skip
        (folder / "wavs" / f"{name}.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    speech("train", "--data", data, "--out", out, "--quiet", *TINY)
    return out


def answers(out):
    return [(out / "answers" / f"task_{n}.jsonl").read_text() for n in range(3)]


def values(out):
    content = json.loads((out / "metrics.json").read_text())
    return {(r["split"], r["metric"]): r["value"] for r in content["records"]}


def test_a_run_folder_holds_all(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "settings.yaml", "metrics.json", "log.jsonl", "checkpoint", "report.html", "answers",
        "data", "accuracy_over_tasks.png", "accuracy_matrix.png", "confusion.png",
    }  # fmt: skip
    assert {p.name for p in (trained / "data").iterdir()} == {
        "train.json", "valid.json", "test.json", "curriculum.json", "tokenizer.model",
    }  # fmt: skip
    buffer = json.loads((trained / "checkpoint" / "buffer.json").read_text())
    assert len(buffer["memories"]) == 12
    told = values(trained)
    assert {"average accuracy", "last accuracy", "forgetting", "backward transfer",
            "last word error rate", "last slu f1"} <= {metric for _, metric in told}  # fmt: skip


def test_manifests_are_speechbrains(trained):
    from speechbrain.dataio.dataset import DynamicItemDataset

    from nearfar_speech import harness  # noqa: F401

    root = json.loads((trained / "data" / "curriculum.json").read_text())["data_root"]
    dataset = DynamicItemDataset.from_json(
        str(trained / "data" / "train.json"), replacements={"data_root": root}
    )
    dataset.set_output_keys(["id", "wav", "intent"])
    assert len(dataset) == 36
    assert Path(dataset[0]["wav"]).is_file()


def test_a_task_added_later_is_as_if_it_had_been_there(data, trained, tmp_path):
    out = tmp_path / "extended"
    tokenizer = trained / "data" / "tokenizer.model"
    fewer = [o for o in TINY if not o.startswith(("--set=memory", "--set=tasks"))]
    speech("train", "--data", data / "wavs" / "first.json", "--out", out, "--quiet", *fewer,
           "--set=memory=8", "--set=tasks=2", "--tokenizer", tokenizer)  # fmt: skip
    speech("train", "--resume", "--out", out, "--task", data / "wavs" / "last.json", "--quiet")
    for one, other in zip(answers(out), answers(trained), strict=True):
        assert [json.loads(line)["found"] for line in one.splitlines()] == [
            json.loads(line)["found"] for line in other.splitlines()
        ]
    assert values(out) == pytest.approx(values(trained), nan_ok=True)
    assert load_model(out).curriculum == load_model(trained).curriculum


LONGER = [*TINY, "--set=first_epochs=4", "--set=epochs=12"]


@pytest.fixture(scope="module")
def longer(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "longer"
    speech("train", "--data", data, "--out", out, "--quiet", *LONGER)
    return out


def test_a_killed_run_resumes_to_the_same_numbers(data, longer, tmp_path):
    out = tmp_path / "stopped"
    command = [sys.executable, "-m", "nearfar_speech.cli", "train", "--data", str(data), "--out",
               str(out), "--quiet", *LONGER]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ})
    deadline = time.monotonic() + 60
    while not (out / "answers" / "task_0.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)  # into the second task
    process.kill()
    told = process.communicate()[1].decode()
    assert process.returncode == -signal.SIGKILL, told
    assert not (out / "metrics.json").exists()
    speech("train", "--resume", "--out", out, "--quiet")
    assert answers(out) == answers(longer)
    assert values(out) == pytest.approx(values(longer), nan_ok=True)


def test_recordings_are_recognised(trained, data, tmp_path):
    lines = speech("recognise", "--model", trained, data / "wavs", "--quiet").splitlines()
    told = [json.loads(line) for line in lines]
    assert [row["path"] for row in told] == [str(p) for p in sorted((data / "wavs").glob("*.wav"))]
    assert set(told[0]) == {"path", "intent", "known", "slots", "transcript", "score"}
    known = load_model(trained).curriculum.classes
    assert [row["known"] for row in told] == [row["intent"] in known for row in told]
    assert all(row["score"] < 0 for row in told)
    files = sorted((data / "wavs").glob("*.wav"))[:2]
    speech("recognise", "--model", trained, *files, "--out", tmp_path / "a.jsonl", "--quiet")
    again = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    for one, other in zip(again, told[:2], strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), abs=1e-3)
        assert one == other


def test_an_intent_that_was_never_taught_is_no_known_one():
    spelt = Recognised("a.wav", Target("quietr"), "quietr", -1.0)
    for by, intents, known in (("intent", ("quieter",), False), ("intent", ("quietr",), True),
                               ("scenario", ("quietr",), None)):  # fmt: skip
        assert json.loads(json_line(spelt, Curriculum(by, (intents,))))["known"] is known


def test_evaluation_is_that_of_the_last_task(trained, data, tmp_path):
    speech("evaluate", "--model", trained, "--data", data, "--out", tmp_path / "e", "--quiet")
    own, told = values(tmp_path / "e"), values(trained)
    for metric in ("last accuracy", "last word error rate", "last slu f1"):
        assert own["after=all", metric] == pytest.approx(told["after=all", metric])
    with pytest.raises(UserError, match="is in no task"):
        rows = [{"path": str(next((data / "wavs").glob("*.wav"))), "intent": "sing"}]
        (data / "wavs" / "odd.json").write_text(json.dumps(rows))
        speech("evaluate", "--model", trained, "--data", data / "wavs" / "odd.json", "--split",
               "all", "--out", tmp_path / "f")  # fmt: skip
    assert not (tmp_path / "f").exists()


def test_the_report_tells_the_tasks_and_their_clips(trained):
    page = (trained / "report.html").read_text()
    assert "<td>task 3</td><td>open, quieter</td><td>12</td><td>6</td><td>6</td>" in page
    assert "0 more were left out" in page
    assert "Backward transfer is the mean, over all tasks but the last, of" in page


def test_a_run_is_scored_on_its_own_held_out_clips(trained, tmp_path):
    for number, model in enumerate((trained, trained / "checkpoint")):
        out = tmp_path / str(number)
        speech("evaluate", "--model", model, "--out", out, "--quiet")
        own, told = ({json.loads(line)["path"] for line in lines.splitlines()} for lines in
                     ((out / "answers.jsonl").read_text(), answers(trained)[-1]))  # fmt: skip
        assert own == told
        assert values(out)["after=all", "last accuracy"] == pytest.approx(
            values(trained)["after=all", "last accuracy"]
        )
    shutil.copytree(trained / "checkpoint", tmp_path / "alone" / "model")
    with pytest.raises(UserError, match=r"--data is absent and .* keeps no data"):
        speech("evaluate", "--model", tmp_path / "alone" / "model", "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_title_of_the_matrix_fits(trained):
    from matplotlib.image import imread

    assert imread(trained / "accuracy_matrix.png")[:, -2:].min() == 1  # white to the edge


def told(*arguments):
    """Standard error of a command that ends well."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stderr


def test_clips_that_were_trained_on_are_told(trained, data, tmp_path):
    call = ["evaluate", "--data", data, "--quiet"]
    whole = [*call, "--split", "all", "--model"]
    assert told(*whole, trained, "--out", tmp_path / "all") == (
        "note: 36 of these 72 clips were trained on, and are no test of the model; without --data, "
        "those that its run held out are taken\n"
    )
    assert "36 of these were trained on" in (tmp_path / "all" / "report.html").read_text()
    assert "36 of these" in told(*whole, trained / "checkpoint", "--out", tmp_path / "inner")
    assert told(*call, "--model", trained, "--out", tmp_path / "test") == ""
    assert "none of them, by its path" in (tmp_path / "test" / "report.html").read_text()
    shutil.copytree(trained / "checkpoint", tmp_path / "alone" / "model")
    assert told(*whole, tmp_path / "alone" / "model", "--out", tmp_path / "x") == ""
    page = (tmp_path / "x" / "report.html").read_text()
    assert "does not tell what it was trained on" in page
    assert "not trained on" not in page


def test_clips_left_out_are_told(trained, data, tmp_path):
    rows = json.loads((data / "wavs" / "last.json").read_text())
    gone = [row | {"path": str(data / "wavs" / f"gone_{n}.wav")} for n, row in enumerate(rows)]
    manifest = data / "wavs" / "gone.json"
    manifest.write_text(json.dumps([*rows, *gone[:2]]))
    note = (
        f"note: missing: 2 left out ({data / 'wavs' / 'gone_0.wav'}, "
        f"{data / 'wavs' / 'gone_1.wav'})\n"
    )
    call = ["evaluate", "--model", trained, "--data", manifest, "--quiet"]
    assert told(*call, "--out", tmp_path / "e") == note
    # Training fails for what is missing: that is told first.
    call = ["train", "--data", str(manifest), "--out", str(tmp_path / "t")]
    done = CliRunner().invoke(app, [*call, "--set=memory=99", "--set=tasks=1"])
    assert "a buffer of 99 clips" in str(done.exception)
    assert "missing: 2 left out" in done.stderr
    done = CliRunner().invoke(app, [*call, "--set=memory=99", "--set=tasks=1", "--quiet"])
    assert done.stderr.startswith("note: missing: 2 left out")


def test_clips_of_long_targets_are_told_by_the_bench(data, tmp_path):
    # A mistake that comes of what was left out is told after it.
    call = ["bench", "--data", str(data), "--out", str(tmp_path / "b"), "--quiet", *TINY]
    done = CliRunner().invoke(app, [*call, "--set=max_characters=40"])
    assert "3 of 2 classes" in str(done.exception)
    assert done.stderr.startswith("note: target too long: 64 left out (")


def test_what_is_trained_on_and_what_is_held_out(data, tmp_path):
    call = ["train", "--data", data, "--out", tmp_path / "t", *TINY]
    note = told(*call, "--set=test_speakers=[speaker0, speaker1]")
    assert "72 clips, 6 intents, 4 speakers" in note
    assert "36 to train on, 36 held out\n" in note
    assert "train:" not in note


def test_a_share_remembers_at_least_one_clip_a_class(data, tmp_path):
    fewer = [o for o in TINY if not o.startswith("--set=memory")]
    note = told("train", "--data", data, "--out", tmp_path / "t", "--quiet", *fewer)
    assert note == (
        "note: memory: 0.01 of 36 training clips is less than one a class; 6 are kept, one a "
        "class\n"
    )
    buffer = json.loads((tmp_path / "t" / "checkpoint" / "buffer.json").read_text())
    assert len({memory["label"] for memory in buffer["memories"]}) == len(buffer["memories"]) == 6
    assert told("train", "--data", data, "--out", tmp_path / "u", "--quiet", *TINY) == ""


def test_data_that_name_no_split_are_evaluated_whole(trained, data, tmp_path):
    manifest = data / "wavs" / "unsplit.json"
    rows = json.loads((data / "wavs" / "last.json").read_text())
    manifest.write_text(json.dumps([{**row, "split": ""} for row in rows]))
    call = ["evaluate", "--model", trained, "--data", manifest, "--quiet"]
    speech(*call, "--out", tmp_path / "e")
    assert len((tmp_path / "e" / "answers.jsonl").read_text().splitlines()) == len(rows)
    with pytest.raises(UserError, match="no clip is in the split 'test'; expected some, or"):
        speech(*call, "--split", "test", "--out", tmp_path / "f")


def test_a_training_that_is_not_tested_leaves_its_page_too(data, tmp_path):
    for name in ("test", "valid"):
        (tmp_path / f"{name}.json").write_text("{}")
    shutil.copy(data / "train.json", tmp_path)
    (tmp_path / "wavs").symlink_to(data / "wavs")
    out = tmp_path / "t"
    speech("train", "--data", tmp_path, "--out", out, "--quiet", *TINY)
    assert "No clip was held out" in (out / "report.html").read_text()
    assert values(out) == {}


def test_the_bench_writes_its_table_and_goes_on(data, tmp_path):
    out = tmp_path / "b"
    call = ["bench", "--data", data, "--out", out, "--profile", "smoke", "--methods",
            "offline;fine-tune;ER iCaRL;COCONUT", "--processes", 1, "--quiet", *TINY]  # fmt: skip
    speech(*call)
    table = (out / "table.md").read_text()
    assert "| COCONUT | " in table
    assert "gain in accuracy over ER iCaRL" in table
    jobs = sorted((out / "checkpoint" / data.name / "jobs").glob("*.json"))
    assert len(jobs) == 4
    records = json.loads((out / "metrics.json").read_text())["records"]
    assert {r["method"] for r in records} == {"offline", "fine-tune", "ER iCaRL", "COCONUT"}
    jobs[0].unlink()
    before = {job: job.stat().st_mtime_ns for job in jobs[1:]}
    speech(*call, "--resume")
    assert jobs[0].exists()
    assert before == {job: job.stat().st_mtime_ns for job in jobs[1:]}
    again = json.loads((out / "metrics.json").read_text())["records"]
    assert again == records


def test_the_bench_takes_each_data_set_of_a_folder(data, tmp_path):
    sets = tmp_path / "sets"
    for name in ("other.1", "silent"):
        (sets / name).mkdir(parents=True)
    (sets / "first").symlink_to(data)
    shutil.copy(data / "train.json", sets / "silent")
    for split in ("train", "valid", "test"):
        rows = json.loads((data / f"{split}.json").read_text())
        kept = {name: row for name, row in rows.items() if row["intent"] != "open"}
        (sets / "other.1" / f"{split}.json").write_text(json.dumps(kept))
    (sets / "other.1" / "wavs").symlink_to(data / "wavs")
    out = tmp_path / "b"
    call = ["bench", "--data", str(sets), "--out", str(out), "--profile", "smoke",
            "--methods", "fine-tune", "--processes", "1", "--quiet", *TINY]  # fmt: skip
    done = CliRunner().invoke(app, call, catch_exceptions=False)
    assert f"left out: {sets / 'silent'}: no usable clip" in done.stderr
    records = json.loads((out / "metrics.json").read_text())["records"]
    assert {r["dataset"] for r in records} == {"first", "other.1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "--data is absent"),
        (["train", "--data", "nowhere"], "nowhere: no such file or folder"),
        (
            ["train", "--data", "DATA", "--preset", "tiny"],
            "preset tiny: expected one of",
        ),
        (["train", "--data", "DATA", "--set", "memory=999"], "a buffer of 999 clips"),
        (["train", "--data", "DATA", "--set", "memory=3"], "3 clips of 36 for 6 classes"),
        (["train", "--data", "DATA", "--set", "max_characters=3"], "longer than max_characters, 3"),
        (
            ["train", "--data", "DATA", "--set", "vocabulary=9", "--set", "memory=0"],
            "tokenizer: a size of 9",
        ),
        (["train", "--data", "DATA", "--set", "heads=3"], "a divisor of the width, 128"),
        (["train", "--data", "DATA", "--set", "encoder=./x", "--set", "memory=0"], "encoder ./x: "),
        (["train", "--data", "DATA", "--tokenizer", "nowhere"], "nowhere: cannot be read"),
        (["train", "--task", "x.csv"], "--task adds to a run that is there"),
        (["train", "--resume", "--out", "nowhere"], "nowhere holds no run"),
        (["train", "--resume", "--out", "RUN", "--task", "DATA"], "is in the curriculum"),
        (["recognise", "--model", "nowhere", "DATA"], "nowhere"),
        (["recognise", "--model", "RUN", "nowhere.wav"], "nowhere.wav: no such file"),
        (["recognise", "--model", "RUN", "."], "holds no WAV or FLAC file"),
        (["evaluate", "--model", "RUN", "--data", "DATA", "--split", "x"], "in the split 'x'"),
        (["bench", "--data", "DATA", "--profile", "big"], "expected one of smoke, cpu, gpu"),
        (
            ["bench", "--data", "DATA", "--methods", "magic"],
            "--methods magic: expected some of offline; ",
        ),
        (["bench", "--data", "DATA", "--test", "train"], "--test train: expected valid or test"),
    ],
)
def test_mistakes_in_the_call(arguments, message, data, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"DATA": str(data), "RUN": str(trained)}
    with pytest.raises(UserError) as caught:
        speech(*(places.get(argument, argument) for argument in arguments))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(Path().iterdir())


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    command = [sys.executable, "-m", "nearfar_speech.cli", "train", "--data", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: nowhere: no such file or folder; expected a data set of clips\n"
    assert not list(tmp_path.iterdir())


def test_bad_recordings_are_named(trained, data, tmp_path):
    bad = tmp_path / "empty.wav"
    bad.write_bytes(b"")
    with pytest.raises(UserError, match=r"none of 1 files .*empty.wav: is empty \(0 bytes\)"):
        speech("recognise", "--model", trained, tmp_path)
    soundfile.write(bad, np.zeros(100), 16_000)
    header = bytearray(bad.read_bytes())
    header[24:28] = bytes(4)
    bad.write_bytes(header)
    good = shutil.copy(next((data / "wavs").glob("*.wav")), tmp_path / "good.wav")
    with pytest.raises(UserError, match=r"empty.wav: its sampling rate is 0"):
        speech("recognise", "--model", trained, good, bad)
    # Of a folder, what can be read is answered.
    call = ["recognise", "--model", str(trained), str(tmp_path), "--quiet"]
    done = CliRunner().invoke(app, call)
    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == [str(good)]
    assert done.stderr == (
        f"note: 1 of 2 files left out; the first is {bad}: its sampling rate is 0; expected a "
        "positive one\n"
    )


def test_a_clipped_recording_is_told(trained, tmp_path, capsys):
    loud = np.clip(4 * np.sin(np.arange(8000) / 20), -1, 1)
    soundfile.write(tmp_path / "loud.wav", loud, 16_000)
    done = CliRunner().invoke(app, ["recognise", "--model", str(trained), str(tmp_path), "--quiet"])
    assert done.stderr == (
        f"warning: {tmp_path / 'loud.wav'}: is clipped; what it means is less sure\n"
    )
    assert len(done.stdout.splitlines()) == 1


def test_models_that_are_none(trained, tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    model = (trained / "checkpoint" / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(model)
    with pytest.raises(UserError, match=r"tokenizer.model: cannot be read"):
        load_model(folder)
    save_checkpoint(tmp_path / "other" / "model.safetensors", {"format": "nearfar-har 1"})
    with pytest.raises(UserError, match="expected 'nearfar-speech model 1'"):
        load_model(tmp_path / "other")
    from nearfar_speech.tokens import Tokens

    Tokens.train(["some other words"], 30).save(folder / "tokenizer.model")
    with pytest.raises(UserError, match=r"tokenizer.model: has \d+ tokens; the model was made for"):
        load_model(folder)
    (folder / "model.safetensors").write_bytes(model[: len(model) // 2])
    with pytest.raises(UserError, match="is no checkpoint, or a damaged one"):
        load_model(folder)
