"""``metrics.json`` as the contract has it, and the tables made from it."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nearfar_kit.errors import UserError
from nearfar_kit.gains import gains
from nearfar_kit.metrics import Metrics, Record, parse_split, split_key, versions_of
from nearfar_kit.report import facts
from nearfar_kit.table import Cell, Table, gain, summarise


def some_metrics(*values: float) -> Metrics:
    made = Metrics("har", "bench", versions_of(), "cpu", "dense", "abc")
    made.add(Record("d", "device=torso", "m", seed, "f1", v, 7) for seed, v in enumerate(values))
    return made


class TestMetrics:
    def test_the_time_of_a_run_that_went_on_is_told_as_such(self):
        made = some_metrics(0.5)
        made.seconds = 7.0
        assert facts(made)["time"] == "7 s"
        made.resumed = True
        assert facts(made)["time"] == "7 s since it was resumed"

    def test_the_contracts_keys(self, tmp_path):
        some_metrics(0.5).write(tmp_path / "metrics.json")
        content = json.loads((tmp_path / "metrics.json").read_text())
        assert list(content) == [
            "schema", "domain", "verb", "date", "versions", "device", "loss_path", "seconds",
            "peak_memory_bytes", "resumed", "settings_hash", "records",
        ]  # fmt: skip
        assert content["schema"] == 1
        assert content["resumed"] is False
        assert content["peak_memory_bytes"] > 10_000_000
        assert {"python", "torch", "nearfar", "nearfar-kit"} <= set(content["versions"])
        assert content["records"] == [
            {"dataset": "d", "split": "device=torso", "method": "m", "seed": 0, "metric": "f1",
             "value": 0.5, "n": 7}
        ]  # fmt: skip

    def test_read_back(self, tmp_path):
        made = some_metrics(0.25, math.nan)
        made.write(tmp_path / "m")
        assert "NaN" not in (tmp_path / "m").read_text()  # no JSON number
        back = Metrics.read(tmp_path / "m")
        assert back.records[0] == made.records[0]
        assert math.isnan(back.records[1].value)
        assert back.seconds == made.seconds

    @pytest.mark.parametrize(
        "content",
        ["", "[]", "{}", '{"schema": 2, "records": []}', '{"schema": 1, "records": [{"n": 1}]}'],
    )
    def test_not_of_the_contract(self, tmp_path, content):
        (tmp_path / "m").write_text(content)
        with pytest.raises(UserError, match=r"is no metrics\.json of schema 1"):
            Metrics.read(tmp_path / "m")

    @given(
        st.dictionaries(
            st.text("abcdef_", min_size=1), st.text(st.sampled_from(list("a%2C3D,=ü \n")))
        )
    )
    def test_splits_come_apart_as_they_were_joined(self, parts):
        assert parse_split(split_key(**parts)) == parts


class TestTable:
    @given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9))
    def test_mean_and_sample_deviation(self, values):
        cell = summarise(values)
        assert cell.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
        assert cell.spread == pytest.approx(statistics.stdev(values), abs=1e-9)

    def test_what_could_not_be_had_is_left_out(self):
        assert summarise([0.5, math.nan, 0.5]) == Cell(0.5, 0.0, 2)
        assert str(summarise([math.nan])) == "-"
        assert str(summarise([0.25])) == "0.250"
        assert str(summarise([0.2, 0.4])) == "0.300 ± 0.141"

    def test_a_gain_is_of_the_seeds_that_both_have(self):
        cell = gain({0: 0.5, 1: 0.9, 2: 0.1}, {2: 0.3, 0: 0.1, 5: 0.9})
        assert (cell.mean, cell.n) == (pytest.approx(0.1), 2)
        assert cell.spread == pytest.approx(statistics.stdev([0.4, -0.2]))
        assert str(cell) == "+0.100 ± 0.424"
        assert str(gain({0: 0.1}, {0: 0.3})) == "-0.200"
        assert str(gain({0: 0.1}, {1: 0.3})) == "-"

    def test_the_best_of_each_column_is_marked(self):
        rows = [
            ["a|b", Cell(0.2, 0.1, 3), Cell(0.9, 0, 3)],
            ["c", Cell(0.3, 0.1, 3), summarise([])],
        ]
        table = Table("What.", ["method", "1 %", "10 %"], rows)
        assert table.best() == {(1, 1)}  # nothing to be better than in the last column
        least = Table("", table.columns, table.rows, least=table.columns[1:2])
        assert least.best() == {(0, 1)}
        assert table.markdown().splitlines() == [
            "What.",
            "",
            "| method | 1 % | 10 % |",
            "| --- | --- | --- |",
            "| a\\|b | 0.200 ± 0.100 | 0.900 ± 0.000 |",
            "| c | **0.300 ± 0.100** | - |",
        ]

    @pytest.mark.parametrize("width", [60, 80, 500])
    @pytest.mark.parametrize("methods", [1, 2, 12])
    def test_a_narrow_console_sees_every_figure(self, width, methods):
        columns = ["method", *(f"measure {n}" for n in range(9))]
        rows = [
            [f"row {m}", *(Cell(m + n / 10, 0.001, 3) for n in range(9))] for m in range(methods)
        ]
        console = Console(record=True, width=width, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(Table("What.", columns, rows).terminal())
        text = console.export_text()
        assert text.count("What.") == 1
        words = [str(cell) for row in rows for cell in row] + columns
        assert [word for word in words if word not in text] == []
        # Turned where rows are few, in parts where they are many, else as it is.
        parts = {60: 5, 80: 3, 500: 1}[width] if methods == 12 else 1
        assert text.count("row 0") == parts

    def test_names_with_brackets_are_shown_as_they_are(self):
        console = Console(record=True, width=80, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(Table("[x]", ["[bold]"], [["[red]name"]]).terminal())
        text = console.export_text()
        assert "[red]name" in text
        assert "[bold]" in text
        assert "[x]" in text


class TestGains:
    RECORDS = tuple(
        Record("shop", f"split={split}", method, seed, metric, value * scale, 50)
        for (method, split, seed), value in {
            ("blend", 0, 0): 0.1, ("blend", 1, 0): 0.3, ("blend", 2, 0): 0.2,
            ("ours", 0, 0): 0.2, ("ours", 0, 1): 0.4, ("ours", 1, 0): 0.4, ("ours", 1, 1): 0.4,
            ("once", 0, 0): 0.9,
        }.items()
        for metric, scale in (("hit", 1), ("ndcg", -1))
    )  # fmt: skip

    def test_over_the_same_split_of_the_mean_of_its_seeds(self):
        table = gains(self.RECORDS, "blend", ["hit", "ndcg"], "more", draw=lambda r: r.split)
        assert table.caption == "more"
        assert table.columns == ["method", "hit", "ndcg"]
        # .3 - .1 and .4 - .3; what was drawn once has no spread to show.
        assert [[str(cell) for cell in row] for row in table.rows] == [
            ["ours", "+0.150 ± 0.071", "-0.150 ± 0.071"]
        ]

    def test_over_the_same_seed_and_as_one_likes(self):
        table = gains(
            self.RECORDS, "blend", ["hit"], "", shown=lambda cell: replace(cell, digits=4)
        )
        assert [[str(cell) for cell in row] for row in table.rows] == [["ours", "+0.1000"]]

    def test_without_the_baseline_there_are_none(self):
        assert gains(self.RECORDS, "vote", ["hit"], "").rows == []
