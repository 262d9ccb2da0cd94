"""The command line as a user meets it: what it leaves, and one clear line for each mistake."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from nearfar_har.cli import app
from nearfar_kit.checkpoint import load_checkpoint
from nearfar_kit.command import run_app
from nearfar_kit.digests import digest
from nearfar_kit.metrics import Metrics, parse_split

QUICK = ["--set=steps=4", "--set=batch=16", "--set=tuned_steps=5", "--quiet"]


@pytest.fixture
def call(capsys):
    """Runs a command; gives its status, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            run_app(app, [str(a) for a in arguments])
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


def contents(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


class TestTrain:
    def test_the_run_folder_of_the_contract(self, trained_run):
        assert contents(trained_run) == {
            "settings.yaml", "metrics.json", "log.jsonl", "checkpoint", "report.html",
            "confusion.png", "embedding.png", "devices.png",
        }  # fmt: skip
        assert contents(trained_run / "checkpoint") == {
            "model.safetensors", "pre-training-colossl.safetensors",
        }  # fmt: skip
        metrics = Metrics.read(trained_run / "metrics.json")
        assert (metrics.domain, metrics.verb) == ("har", "train")
        scored = [r for r in metrics.records if r.metric == "macro_f1"]
        devices = [parse_split(r.split)["device"] for r in scored]
        assert devices == [*sorted(devices[:-1]), "all"]
        each = [r for r in metrics.records if r.metric == "f1"]
        assert len(each) > 1
        assert sum(r.n for r in each) == scored[-1].n
        assert sum(r.value for r in each) / len(each) == pytest.approx(scored[-1].value)
        assert metrics.records == [*scored, *metrics.records[len(scored) :]]
        for line in (trained_run / "log.jsonl").read_text().splitlines():
            assert {"time", "event"} <= set(json.loads(line))
        for picture in trained_run.glob("*.png"):
            with Image.open(picture) as image:
                assert min(image.size) > 200

    def test_a_run_is_not_written_over(self, call, table_file, trained_run):
        status, _, err = call("train", "--data", table_file, "--out", trained_run, *QUICK)
        assert status == 2
        assert "holds a run; expected a new folder, or --resume" in err

    def test_nobody_held_out(self, call, table_file, tmp_path):
        arguments = ["--data", table_file, "--out", tmp_path / "r", "--hold-out", "none"]
        assert call("train", *arguments, *QUICK)[0] == 0
        assert Metrics.read(tmp_path / "r" / "metrics.json").records == []
        assert "No subject was held out" in (tmp_path / "r" / "report.html").read_text()

    def test_an_activity_that_no_window_shows_is_noted(self, call, table, tmp_path):
        short = pl.when(pl.col("time") % 4 < 1).then(pl.lit("turning"))
        own = table.with_columns(short.otherwise(pl.col("activity")).alias("activity"))
        own.write_parquet(tmp_path / "own.parquet")
        status, _, err = call("train", "--data", tmp_path / "own.parquet", "--out",
                              tmp_path / "r", *QUICK)  # fmt: skip
        assert status == 0, err
        assert err.startswith(
            "note: not learnt: no window of the training subjects is at least 75%"
        )
        assert "turning (longest stretch 1 s)" in err

    def test_people_in_another_column(self, call, table, tmp_path):
        # Each begins where the one before has ended.
        later = 1000.0 * pl.col("subject").str.slice(1).cast(pl.Int64)
        own = table.with_columns(pl.col("time") + later).rename({"subject": "person"})
        own.write_csv(tmp_path / "own.csv")
        arguments = ["train", "--data", tmp_path / "own.csv", "--out", tmp_path / "r", *QUICK]
        status, _, err = call(*arguments)
        assert status == 2
        note, error = err.splitlines()
        assert note.startswith("note: ")
        assert "--read columns.subject=person says which column names the subjects" in note
        assert "expected two or more (--read columns.subject=NAME says" in error
        status, out, err = call(*arguments, "--read", "columns.subject=person")
        assert (status, err) == (0, "")
        assert "tested on s3" in out

    def test_what_is_wrong_at_once_is_told_before_reading(
        self, call, trained_run, tmp_path, monkeypatch
    ):
        from nearfar_har import data

        def unread(*_, **__):
            raise AssertionError("was read")

        monkeypatch.setattr(data, "recordings_from", unread)
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        for verb in (["train"], ["evaluate", "--model", trained_run], ["bench"]):
            status, _, err = call(*verb, "--data", tmp_path, "--out", trained_run, "--quiet")
            assert (status, "holds a run; expected a new folder" in err) == (2, True), err
        arguments = ["--data", tmp_path, "--out", tmp_path / "r", "--device", "cuda"]
        status, _, err = call("train", *arguments, "--quiet")
        assert (status, "no CUDA device is visible" in err) == (2, True), err

    def test_a_column_of_activities_by_another_name(self, call, table, trained_run, tmp_path):
        own = table.rename({"activity": "Tätigkeit"})
        own.write_csv(tmp_path / "eigene.csv")
        data = ["--data", tmp_path / "eigene.csv", "--out", tmp_path / "r"]
        for verb in (["train"], ["evaluate", "--model", trained_run]):
            status, _, err = call(*verb, *data, "--quiet")
            assert status == 2
            assert "eigene.csv: no column 'activity'; the file has time, device, subject" in err
            assert "Tätigkeit: --read columns.activity=NAME" in err
        told = ["--read", "columns.activity=Tätigkeit"]
        assert call("train", *data, *told, *QUICK)[0] == 0


def test_options_of_the_reader_and_layouts_are_named_in_the_help(call):
    import inspect

    from nearfar_har.readers import LAYOUTS
    from nearfar_har.readers.table import read_table

    told = " ".join(call("train", "--help")[1].replace("│", " ").split())
    for name in [*LAYOUTS, *list(inspect.signature(read_table).parameters)[1:]]:
        assert name in told


def test_subjects_to_read_are_names_parted_by_commas():
    from nearfar_har.data import read_options

    assert read_options(["subjects=007, anna"]) == {"subjects": ["007", "anna"]}
    assert read_options(["subjects=s1"]) == {"subjects": ["s1"]}


def shuffled_rows(t):
    return t.sample(fraction=1.0, shuffle=True, seed=0)


FAULTS = {
    "a missing device column": (
        lambda t: t.drop("device"), "own.csv: no column 'device'",
    ),
    "a missing axis": (lambda t: t.drop("acc_y"), "own.csv: no column 'acc_y'"),
    "text among numbers": (
        lambda t: t.with_columns(
            pl.when(pl.int_range(pl.len()) == 6).then(pl.lit("x")).otherwise(pl.col("acc_x"))
            .alias("acc_x")
        ),
        "own.csv",
    ),
    "timestamps out of order": (shuffled_rows, "expected time in order"),
    "one subject only": (
        lambda t: t.filter(pl.col("subject") == "s1"), "one subject only (s1): nobody to test on",
    ),
    "an activity in the test alone": (
        lambda t: t.with_columns(
            pl.when((pl.col("subject") != "s3") & (pl.col("activity") == "running"))
            .then(None).otherwise(pl.col("activity")).alias("activity")
        ),
        "activity running: occurs only among the subjects held out",
    ),
    "an activity too short for a window": (
        lambda t: t.with_columns(
            pl.when((pl.col("time") % 4 < 1) | ((pl.col("subject") == "s3") & (pl.col("time") < 9)))
            .then(pl.lit("turning")).otherwise(pl.col("activity")).alias("activity")
        ),
        "activity turning: no window of the training subjects is at least 75% turning (longest "
        "stretch 1 s); expected windows shorter than 2 s, --set window_seconds=...",
    ),
    "no activity": (lambda t: t.with_columns(activity=pl.lit(None, pl.String)), "labels: no"),
    "one activity": (
        lambda t: t.with_columns(activity=pl.lit("sitting")), "labels: only 'sitting' found",
    ),
    "no rows": (lambda t: t.head(0), "own.csv"),
    "one row": (lambda t: t.head(1), "own.csv"),
    "too short for a window": (lambda t: t.head(20), "own.csv"),
    "nothing but gaps": (lambda t: t.with_columns(acc_x=pl.lit(None, pl.Float32)), "own.csv"),
}  # fmt: skip


class TestMistakes:
    def refused(self, call, told, *arguments):
        status, out, err = call(*arguments)
        assert status == 2, (status, err)
        assert err.startswith("error: "), err
        assert len(err.splitlines()) == 1, err
        assert told in err
        assert out == ""

    @pytest.mark.parametrize("fault", list(FAULTS))
    def test_in_a_table(self, call, table, tmp_path, fault):
        change, told = FAULTS[fault]
        change(table).write_csv(tmp_path / "own.csv")
        out = tmp_path / "run"
        self.refused(call, told, "train", "--data", tmp_path / "own.csv", "--out", out, *QUICK)
        assert not contents(out) - {"settings.yaml", "log.jsonl"}  # nothing half-written

    @pytest.mark.parametrize("content", [b"", b"\x00\x01\xff\xfe" * 50, b"time,device\n"])
    def test_a_file_that_is_no_table(self, call, tmp_path, content):
        for name in ("own.csv", "own.parquet"):
            (tmp_path / name).write_bytes(content)
            arguments = ["train", "--data", tmp_path / name, "--out", tmp_path / "r"]
            self.refused(call, name, *arguments, *QUICK)
        assert contents(tmp_path) == {"own.csv", "own.parquet"}

    def test_a_truncated_parquet(self, call, table_file, tmp_path):
        data = table_file.read_bytes()
        (tmp_path / "own.parquet").write_bytes(data[: len(data) // 2])
        self.refused(call, "own.parquet", "train", "--data", tmp_path / "own.parquet", "--out",
                     tmp_path / "r", *QUICK)  # fmt: skip

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--data", "none"], "--data none: no such file or folder"),
            (["--data", "{data}", "--device", "tpu"], "--device tpu: expected auto, cpu or cuda"),
            (["--data", "{data}", "--set", "step=3"], "unknown setting step; the nearest is steps"),
            (["--data", "{data}", "--hold-out", "zoe"], "zoe"),
            (["--data", "{data}", "--layout", "zip"], "layout 'zip' is unknown; expected one of"),
            (["--data", "{data}", "--read", "rat=3"], "table has no option 'rat'; expected some"),
            (["--data", "{data}", "--read", "rate"], "--read rate: expected key=value"),
            (["--data", "{data}", "--set", "window_seconds=99"], "labels: no activity"),
            (["--data", "{data}", "--set", "encoder=transform_net", "--set",
              "window_seconds=1"], "25 samples are too short for encoder transform_net"),
        ],
    )  # fmt: skip
    def test_in_the_call(self, call, table_file, tmp_path, arguments, told):
        arguments = [a.format(data=table_file) for a in arguments]
        out = tmp_path / "r"
        self.refused(call, told, "train", *arguments, "--out", out, "--quiet")
        assert not contents(out) - {"settings.yaml", "log.jsonl"}

    def test_a_folder_without_a_model(self, call, table_file, tmp_path):
        for verb in ("evaluate", "classify"):
            self.refused(call, "holds no trained model", verb, "--model", tmp_path, "--data",
                         table_file, "--out", tmp_path / "r.csv")  # fmt: skip

    def test_labels_of_no_known_format(self, call, table_file, trained_run, tmp_path):
        self.refused(call, "expected a name that ends in .csv or .parquet", "classify", "--model",
                     trained_run, "--data", table_file, "--out", tmp_path / "l.xlsx")  # fmt: skip

    def test_activities_that_the_model_never_saw(self, call, table, trained_run, tmp_path):
        table.with_columns(activity=pl.lit("swimming")).write_csv(tmp_path / "own.csv")
        self.refused(call, "activity swimming: not among those the model was trained on",
                     "evaluate", "--model", trained_run, "--data", tmp_path / "own.csv",
                     "--out", tmp_path / "r")  # fmt: skip
        assert contents(tmp_path) == {"own.csv"}


class TestUnits:
    def test_other_units_come_to_the_same(self, call, table, tmp_path):
        """Milliseconds, g and degrees a second give the same windows as seconds and m/s2."""
        from nearfar_har.data import windows_from
        from nearfar_har.settings import HarSettings

        table.write_parquet(tmp_path / "a.parquet")
        table.with_columns(
            (pl.col("time") * 1000).round().cast(pl.Int64) + 1_700_000_000_000,
            pl.col("^acc_.$") / 9.80665,
            pl.col("^gyro_.$") * 180 / np.pi,
        ).write_csv(tmp_path / "b.csv")
        one = windows_from(tmp_path / "a.parquet", HarSettings())
        two = windows_from(tmp_path / "b.csv", HarSettings(), options={"gyro_unit": "deg/s"})
        np.testing.assert_array_equal(one.activity, two.activity)
        np.testing.assert_allclose(one.signals, two.signals, atol=2e-3)

    def test_gaps_are_left_out_and_the_rest_is_used(self, call, table, tmp_path):
        gone = (pl.col("time") % 20 > 15) & (pl.col("device") == "torso")
        table.with_columns(
            pl.when(gone).then(float("nan")).otherwise(pl.col("acc_x")).alias("acc_x")
        ).write_parquet(tmp_path / "own.parquet")
        status, _, err = call("train", "--data", tmp_path / "own.parquet", "--out",
                              tmp_path / "r", *QUICK)  # fmt: skip
        assert status == 0, err
        records = Metrics.read(tmp_path / "r" / "metrics.json").records
        seen = {parse_split(r.split)["device"]: r.n for r in records if r.metric == "macro_f1"}
        assert 0 < seen["torso"] < seen["all"]


class TestNewRecordings:
    def labels(self, call, trained_run, table, tmp_path, name="own.csv", out="labels.csv"):
        table.write_csv(tmp_path / name)
        status, told, err = call("classify", "--model", trained_run, "--data", tmp_path / name,
                                 "--out", tmp_path / out)  # fmt: skip
        assert status == 0, err
        read = pl.read_csv if out.endswith(".csv") else pl.read_parquet
        return read(tmp_path / out), told, err

    def test_every_window_has_a_label_and_probabilities(self, call, trained_run, table, tmp_path):
        frame, told, _ = self.labels(call, trained_run, table, tmp_path, out="labels.parquet")
        assert f"{len(frame)} windows labelled" in told
        p = frame.select("^p_.*$").to_numpy()
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-3)
        names = [name.removeprefix("p_") for name in frame.select("^p_.*$").columns]
        own = p[np.arange(len(p)), [names.index(activity) for activity in frame["activity"]]]
        assert (own >= p.max(1) - 1e-4).all()  # they are rounded to four digits
        np.testing.assert_allclose(frame["probability"], own)
        assert (frame["end"] - frame["start"]).unique().to_list() == [2.0]
        in_ms = table.with_columns((pl.col("time") * 1000).round().cast(pl.Int64))
        same, *_ = self.labels(call, trained_run, in_ms, tmp_path)
        np.testing.assert_allclose(same["start"], frame["start"])  # seconds, too
        assert set(frame["subject"]) == {"s1", "s2", "s3"}

    def test_without_labels_with_one_device_and_unknown_ones(
        self, call, trained_run, table, tmp_path
    ):
        kept = table.drop("activity").filter(pl.col("device").is_in(["torso", "left_arm"]))
        renamed = kept.with_columns(pl.col("device").replace("left_arm", "ärmel"))
        frame, _, err = self.labels(call, trained_run, renamed, tmp_path, name="neu ü.csv")
        assert err == (
            "note: devices not used, unknown to the model: ärmel; "
            "it knows left_arm, left_leg, right_arm, right_leg, torso\n"
        )
        assert frame["devices"].unique().to_list() == [1]

    def test_an_unknown_device_is_told_by_the_quiet_and_by_evaluate(
        self, call, trained_run, table, tmp_path
    ):
        own = table.with_columns(pl.col("device").replace("torso", "Torso"))
        own.write_parquet(tmp_path / "own.parquet")
        for verb, out in (("classify", "l.csv"), ("evaluate", "e")):
            status, _, err = call(verb, "--model", trained_run, "--data", tmp_path / "own.parquet",
                                  "--out", tmp_path / out, "--quiet")  # fmt: skip
            assert status == 0, err
            assert "note: devices not used, unknown to the model: Torso; it knows left_arm" in err

    def test_one_window_is_not_windows(self, call, trained_run, table, tmp_path):
        short = table.filter((pl.col("time") < 2) & (pl.col("subject") == "s1"))
        frame, told, _ = self.labels(call, trained_run, short, tmp_path)
        assert len(frame) == 1
        assert told.startswith("1 window labelled: ")

    def test_at_another_rate(self, call, trained_run, table, tmp_path):
        half = table.filter((pl.col("time") * 25).round().cast(pl.Int64) % 2 == 0)
        frame, *_ = self.labels(call, trained_run, half, tmp_path)
        assert len(frame) > 300

    def test_no_known_device(self, call, trained_run, table, tmp_path):
        table.with_columns(device=pl.lit("hat")).filter(pl.col("subject") == "s1").unique(
            ["time"], maintain_order=True
        ).write_csv(tmp_path / "own.csv")
        status, _, err = call("classify", "--model", trained_run, "--data", tmp_path / "own.csv",
                              "--out", tmp_path / "l.csv")  # fmt: skip
        assert status == 2
        assert "devices hat: none is known to the model; expected some of" in err
        assert contents(tmp_path) == {"own.csv"}

    def test_evaluation_of_chosen_subjects(self, call, trained_run, table_file, tmp_path):
        out = tmp_path / "r"
        status, _, err = call("evaluate", "--model", trained_run, "--data", table_file, "--out",
                              out, "--subject", "s3", "--quiet")  # fmt: skip
        assert status == 0, err
        again = Metrics.read(out / "metrics.json").records
        first = Metrics.read(trained_run / "metrics.json").records
        assert [(r.split, r.value, r.n) for r in again] == [(r.split, r.value, r.n) for r in first]
        assert {"report.html", "confusion.png"} <= contents(out)
        assert err == ""

    def test_a_model_tells_no_name(self, trained_run):
        kept = load_checkpoint(trained_run / "checkpoint" / "model.safetensors")
        assert kept["subjects"] == sorted(digest(name) for name in ("s1", "s2"))
        assert "'s1'" not in repr({k: v for k, v in kept.items() if k != "subjects"})

    def test_evaluation_of_subjects_trained_on_says_so(
        self, call, trained_run, table_file, tmp_path
    ):
        status, told, err = call("evaluate", "--model", trained_run, "--data", table_file, "--out",
                                 tmp_path / "r", "--quiet")  # fmt: skip
        assert status == 0, err
        assert "note: 2 of these 3 subjects were trained on, by their names: s1, s2;" in err
        assert "tested on s1, s2, s3, of whom s1, s2 were trained on." in " ".join(told.split())
        assert "held-out" not in (tmp_path / "r" / "report.html").read_text()
