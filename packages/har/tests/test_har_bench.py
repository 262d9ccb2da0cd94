"""The comparison: its protocol, its files, and that it goes on where it was stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nearfar_har import bench
from nearfar_har.bench import METHODS, make_jobs, run_jobs
from nearfar_har.comparison import compare, usable_sets, write_comparison
from nearfar_har.report import by_device, by_share
from nearfar_har.settings import HarSettings
from nearfar_har.windows import save_npz
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Metrics, Record, parse_split, split_key
from nearfar_kit.report import Report
from nearfar_kit.run import RunFolder

QUICK = HarSettings(steps=3, batch=16, tuned_steps=3)


@pytest.fixture
def run_all(windows, tmp_path):
    save_npz(tmp_path / "w.npz", windows)

    def run(methods, seeds=1, folds=99, shares=(0.2,), parts="jobs"):
        jobs = make_jobs("d", windows, methods, seeds, folds)
        files = {"d": tmp_path / "w.npz"}
        return run_jobs(
            jobs, files, tmp_path / parts, QUICK, shares, processes=1, quiet=True
        )  # fmt: skip

    return run


def test_every_subject_is_held_out_once_a_seed_and_method(windows):
    jobs = make_jobs("d", windows, ["supervised", "colossl"], seeds=2, folds=99)
    assert len(jobs) == len(set(jobs)) == 2 * 2 * 3
    for method in ("supervised", "colossl"):
        for seed in (0, 1):
            own = [job.fold for job in jobs if (job.method, job.seed) == (method, seed)]
            assert sorted(own) == sorted(windows.subjects)
    grouped = make_jobs("d", windows, ["supervised"], seeds=1, folds=2)
    assert [job.fold for job in grouped] == ["s1+s2", "s3"]
    assert len({job.file for job in jobs}) == len(jobs)


@pytest.mark.parametrize("method", list(METHODS))
def test_each_method_is_scored_on_each_device(windows, run_all, method):
    records = run_all([method], folds=2)
    splits = [parse_split(record.split) for record in records]
    assert {s["device"] for s in splits} == set(windows.devices)
    assert {s["fold"] for s in splits} == {"s1+s2", "s3"}
    assert all(0 <= record.value <= 1 for record in records)
    held_out = {"s1+s2": 2 / 3, "s3": 1 / 3}
    for record, split in zip(records, splits, strict=True):
        assert record.n == round(held_out[split["fold"]] * len(windows))


def test_the_held_out_subjects_are_never_learnt_from(windows, run_all, monkeypatch):
    """What a method sees in training is the same whatever the held-out subject's signals are."""
    seen = []

    def watched(real):
        def spy(settings, part, *rest):
            signals = part.signals if hasattr(part, "signals") else part.numpy()
            seen.append(float(np.abs(signals).max()))
            return real(settings, part, *rest)

        return spy

    for name in ("new_pretraining", "supervised"):
        monkeypatch.setattr(bench, name, watched(getattr(bench, name)))
    loud = windows.signals.copy()
    loud[windows.subject == windows.subjects.index("s3")] *= 1e4
    changed = replace(windows, signals=loud)
    rest, held_out = changed.split_by_subject(["s3"])
    for method in ("colossl", "supervised"):
        job = bench.Job("d", method, "s3", 0)
        own = HarSettings(**QUICK.model_dump() | METHODS[method])
        assert list(bench._records(job, rest, held_out, own, (0.2,)))
    assert seen
    assert max(seen) < 1e4


def test_methods_share_the_labelled_windows(run_all, monkeypatch):
    """At one seed and share all methods get the same rows; another seed draws others."""
    drawn = []
    real = bench.labelled_subset

    def spy(windows, share, seed):
        rows = real(windows, share, seed)
        drawn.append((seed, len(windows), tuple(rows)))
        return rows

    monkeypatch.setattr(bench, "labelled_subset", spy)
    run_all(["random forest", "random encoder"], seeds=2)
    assert len(drawn) == 2 * 2 * 3
    assert len(set(drawn)) == 2 * 3


def test_what_is_done_is_not_done_again(run_all, tmp_path, monkeypatch):
    first = run_all(["random forest", "random encoder"])
    (tmp_path / "jobs" / "d_random-encoder_s2_0.json").unlink()
    done = []
    real = bench.run_job
    monkeypatch.setattr(bench, "run_job", lambda job, **rest: done.append(job) or real(job, **rest))
    assert run_all(["random forest", "random encoder"]) == first
    assert [(job.method, job.fold) for job in done] == [("random encoder", "s2")]


def test_mistakes(windows):
    with pytest.raises(UserError, match="no method 'colosl'; expected some of random forest"):
        make_jobs("d", windows, ["colosl"], 1, 99)
    alone = windows.select(windows.subject == 0)
    with pytest.raises(UserError, match="one subject only; leave-one-subject-out needs two"):
        make_jobs("d", replace(alone, subject=np.zeros(len(alone), int), subjects=("s1",)),
                  ["colossl"], 1, 99)  # fmt: skip
    few = windows.select((windows.activity != 3) | (np.arange(len(windows)) % 9 == 0))
    with pytest.raises(UserError, match="windows of walking; a comparison needs 50 of each"):
        usable_sets({"d": few}, needed=True)


def test_a_set_too_small_is_left_out_with_a_line(windows, capsys):
    more = replace(windows, activity=windows.activity % 2)
    few = windows.select((windows.activity != 3) | (np.arange(len(windows)) % 9 == 0))
    assert list(usable_sets({"more": more, "few": few}, needed=False)) == ["more"]
    assert capsys.readouterr().err.startswith("left out: few: ")
    none = replace(windows, activity=np.full_like(windows.activity, -1))
    with pytest.raises(UserError, match="none: no window is labelled"):
        usable_sets({"none": none}, needed=True)


def record(method, device, fold, seed, value, labels=0.1, readout="probe"):
    split = split_key(device=device, labels=labels, fold=fold, readout=readout)
    return Record("d", split, method, seed, "macro_f1", value, 5)


def test_the_spread_is_that_of_seeds():
    """Devices and folds are averaged first: the spread tells how a repetition would differ."""
    records = [
        record("m", device, fold, seed, 0.1 * seed + (0.5 if device == "a" else 0.3))
        for device in "ab"
        for fold in "xy"
        for seed in (0, 1)
    ]
    cell = by_share(records, "").rows[0][1]
    assert cell.mean == pytest.approx(0.45)
    assert cell.spread == pytest.approx(0.1 / 2**0.5)
    assert cell.n == 2
    cells = by_device(records, "0.1", "").rows[0][1:]
    assert [c.mean for c in cells] == pytest.approx([0.55, 0.35])


def test_the_files_of_a_comparison(windows, tmp_path):
    run = RunFolder(tmp_path / "r", QUICK)
    metrics = Metrics("har", "bench", {"python": "3"}, "cpu", "dense", "abc")
    compare(
        {"d": replace(windows, activity=windows.activity % 2)}, run, QUICK, metrics,
        methods=["random forest", "colossl"], seeds=2, ablation_seeds=1, folds=2,
        shares=(0.1, 1.0), processes=1, quiet=True,
    )  # fmt: skip
    metrics.write(run.metrics)
    tables = write_comparison(run.path, metrics, Report("t", "s"))
    text = (tmp_path / "r" / "table.md").read_text()
    assert [table.markdown() in text for table in tables] == [True] * 3
    assert "| random forest |" in text
    assert "| colossl, linear probe |" in text
    assert "| colossl, fine-tuned |" in text
    assert "±" in text
    assert (tmp_path / "r" / "d_f1_by_labels.png").exists()
    assert Metrics.read(tmp_path / "r" / "metrics.json").records == metrics.records


def test_ctrl_c_stops_the_bench_and_it_goes_on(table, tmp_path):
    data = tmp_path / "own.parquet"
    pl.concat([table.with_columns(subject=pl.col("subject") + n) for n in "ab"]).write_parquet(data)
    command = [
        sys.executable, "-m", "nearfar_har.cli", "bench", "--data", str(data), "--out",
        str(tmp_path / "r"), "--profile", "smoke", "--methods",
        "random forest;random encoder", "--processes", "2",
    ]  # fmt: skip
    begun = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             start_new_session=True)  # fmt: skip
    jobs = tmp_path / "r" / "checkpoint" / "jobs"
    for _ in range(600):
        if jobs.exists() and len(list(jobs.glob("*.json"))) >= 1:
            break
        time.sleep(0.1)
    os.killpg(begun.pid, signal.SIGINT)  # as a terminal does: to all its processes
    _, errors = begun.communicate(timeout=60)
    assert begun.returncode == 130
    assert "Traceback" not in errors
    assert errors.strip().endswith("--resume goes on from there")
    kept = {path.name: path.stat().st_mtime_ns for path in jobs.glob("*.json")}
    assert not list(jobs.glob(".*.part"))
    done = subprocess.run([*command, "--resume", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all((jobs / name).stat().st_mtime_ns == when for name, when in kept.items())
    assert (tmp_path / "r" / "table.md").exists()
