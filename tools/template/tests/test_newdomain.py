"""nearfar-newdomain: what is read, learnt and told."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from nearfar_kit.errors import UserError
from nearfar_newdomain.bench import compare
from nearfar_newdomain.cli import app
from nearfar_newdomain.readers import read
from nearfar_newdomain.settings import NewDomainSettings
from nearfar_newdomain.simulate import simulate
from nearfar_newdomain.train import load_model, train

SETTINGS = NewDomainSettings(steps=100)


@pytest.fixture
def table(tmp_path):
    data = simulate(40)
    frame = pl.DataFrame(data.values, schema=list(data.columns)).with_columns(
        thing=pl.Series(data.thing), label=pl.Series(data.label)
    )
    frame.write_csv(tmp_path / "measured.csv")
    return tmp_path / "measured.csv"


def run(*arguments):
    return app([str(argument) for argument in arguments], standalone_mode=False)


def test_what_simulate_writes_is_read(tmp_path):
    run("simulate", "--out", tmp_path / "s", "--seed", 3)
    np.testing.assert_allclose(
        read(tmp_path / "s" / "measured.csv").values, simulate(seed=3).values, rtol=1e-6
    )


def test_a_table_is_read_as_it_was_written(table):
    data, known = read(table), simulate(40)
    np.testing.assert_allclose(data.values, known.values, rtol=1e-6)
    assert (data.label[:, None] == data.label).tolist() == (
        known.label[:, None] == known.label
    ).tolist()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("label,x\na,1\n", "no column thing"),
        ("thing,label\na,b\na,b\n", "no column of numbers"),
        ("thing,x\na,1\na,none\n", "column x"),
        ("thing,x\na,1\na,\n", "empty cells"),
        ("thing,x\na,1\na,2\nb,3\n", "thing b has one row"),
        ("", "is no table"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, text, told):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(UserError, match=told) as raised:
        read(tmp_path / "bad.csv")
    assert "\n" not in str(raised.value)


def test_contrast_beats_the_measurements_as_they_are():
    found = compare(simulate(200), "simulated", SETTINGS, seeds=1)
    value = {record.method: record.value for record in found}
    assert value["nearfar"] > value["as measured"] + 0.1
    assert value["nearfar"] > value["untrained"] + 0.1


def test_one_seed_gives_one_encoder():
    first, again, other = (train(simulate(40), SETTINGS, seed) for seed in (0, 0, 1))
    assert torch.equal(first.linear.weight, again.linear.weight)
    assert not torch.equal(first.linear.weight, other.linear.weight)


def test_train_evaluate_and_bench_leave_their_files(table, tmp_path, capsys):
    run("train", "--data", table, "--out", tmp_path / "run", "--set", "steps=20", "--quiet")
    model = load_model(tmp_path / "run")
    assert model.columns == simulate(40).columns
    run("evaluate", "--model", tmp_path / "run", "--data", table, "--out", tmp_path / "eval")
    run("bench", "--data", table, "--out", tmp_path / "bench", "--profile", "smoke",
        "--set", "steps=20", "--quiet")  # fmt: skip
    for folder in ("eval", "bench"):
        names = {path.name for path in (tmp_path / folder).iterdir()}
        assert names >= {"settings.yaml", "metrics.json", "log.jsonl", "report.html", "table.md"}


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="no trained model"):
        load_model(tmp_path)
