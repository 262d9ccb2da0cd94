"""The whole, from Python and from the command line: nothing lost, one clear line for a mistake."""

from __future__ import annotations

import csv
import json
import re
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nearfar_kit.command import run_app
from nearfar_kit.metrics import Metrics
from nearfar_kit.settings import load_settings
from nearfar_tables import TablesSettings, integrate, read
from nearfar_tables.canonical import canonical
from nearfar_tables.cli import app
from nearfar_tables.conflicts import Answer
from nearfar_tables.measures import pairwise_scores
from nearfar_tables.simulate import simulate

QUICK = load_settings(TablesSettings, overrides=["epochs=0"])
SHOPS = [
    ("Golden Dragon", "12 Main Street", "Boston"),
    ("Blue Lagoon", "7 Harbour Road", "Salem"),
    ("Casa Pepe", "99 Elm Avenue", "Lowell"),
    ("The Olive Press", "3 King Street", "Quincy"),
    ("Noodle Palace", "41 Hill Lane", "Newton"),
    ("Smokehouse Ten", "10 Mill Road", "Woburn"),
]
A = pl.DataFrame(SHOPS, schema=["name", "street", "city"], orient="row")
B = pl.DataFrame(
    {
        "Name": ["golden dragon", "blue lagoon cafe", "casa pepe", "Stone Oven"],
        "street": ["12 main st", "7 harbour rd", "98 elm ave", "1 Lake View"],
        "stars": [4, 5, 3, 2],
    }
)


@pytest.fixture
def call(capsys):
    """Runs a command; gives its status, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            run_app(app, [str(a) for a in arguments])
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


@pytest.fixture
def folder(tmp_path):
    own = tmp_path / "lake"
    own.mkdir()
    A.write_csv(own / "a.csv")
    B.write_csv(own / "b.csv")
    return own


@pytest.fixture
def branches(tmp_path):
    """Rows whose city tells the state, but for one set in conflict, whose first row is wrong."""
    rows = [(f"b{n}", c, s) for n in range(12) for c, s in [("Boston", "MA"), ("Reno", "NV")]]
    rows = [(f"{name}{city}", city, state) for name, city, state in rows]
    rows += [("odd", "Reno", "MA"), ("odd", "Reno", "NV")]
    pl.DataFrame(rows, ["set", "city", "state"], orient="row").write_csv(tmp_path / "rows.csv")
    return tmp_path


class TestJudges:
    def test_neighbours_decide(self, call, branches):
        rows, out = branches / "rows.csv", branches / "golden.csv"
        resolve = ["resolve", "--data", rows, "--sets", "set", "--out", out, "--set=resolver=first"]
        call(*resolve)
        assert pl.read_csv(out).filter(pl.col("set") == "odd")["state"].item() == "MA"
        status, told, _ = call(*resolve, "--judge", "neighbours")
        assert status == 0
        assert "answered: 1" in told
        assert "1 conflicts decided in 25 sets (1 by neighbours)" in told
        assert pl.read_csv(out).filter(pl.col("set") == "odd")["state"].item() == "NV"

    def test_a_dry_run_asks_and_writes_nothing(self, call, branches):
        out = branches / "golden.csv"
        status, told, _ = call(
            "resolve", "--data", branches / "rows.csv", "--sets", "set", "--out", out, "--dry-run",
            "--judge", "http://127.0.0.1:9/v1",
        )  # fmt: skip
        assert status == 0
        assert "If the attribute 'city' is 'Reno', what should the value" in told
        assert "1 prompts, about " in told
        assert not out.exists()

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--judge", "gpt"], "--judge gpt: expected neighbours, the URL of a server"),
            (["--judge", "http://x/v1"], "a server needs --server-model"),
            (["--judge", "http://x/v1", "--server-model", "m", "--key-env", "NO_KEY_HERE"],
             "--key-env NO_KEY_HERE: no such variable"),
        ],
    )  # fmt: skip
    def test_mistakes(self, call, branches, arguments, told):
        out = branches / "golden.csv"
        status, _, err = call(
            "resolve", "--data", branches / "rows.csv", "--sets", "set", "--out", out, *arguments
        )
        assert status == 2
        assert told in err
        assert len(err.strip().splitlines()) == 1
        assert not out.exists()

    def test_no_judge_is_asked_where_a_table_is_trusted(self):
        class Never:
            name = "never"

            def __call__(self, questions):
                assert questions == []
                return []

        trusting = load_settings(TablesSettings, overrides=["epochs=0", "priority=[b]"])
        left, right = A.select("name", "street"), B.rename({"Name": "name"}).drop("stars")
        found = integrate({"a": left, "b": right}, settings=trusting, judge=Never())
        assert found.conflicts["method"].unique().to_list() == ["priority"]
        for _, own in found.sets.group_by("set"):
            of_b = own.filter(pl.col("table") == "b")["row"].to_list()
            if of_b:
                assert found.table.row(own["set"][0]) == right.row(of_b[0])

    def test_integrate_takes_one(self):
        class Last:
            name = "last"

            def __call__(self, questions):
                return [Answer(len(question.candidates) - 1, 0.5) for question in questions]

        plain, judged = (
            integrate({"a": A, "b": B}, settings=QUICK, judge=j) for j in (None, Last())
        )
        conflicts = judged.conflicts
        assert set(conflicts["method"]) == {"last"}
        assert conflicts["value"].to_list() == [c[-1] for c in plain.conflicts["candidates"]]
        assert judged.sets.equals(plain.sets)


class TestIntegrate:
    def test_rows_columns_and_grounds(self):
        found = integrate({"a": A, "b": B}, settings=QUICK)
        assert found.table.columns == ["name", "street", "city", "stars"]
        sets = found.sets
        assert sets.select("table", "row").rows() == [
            *(("a", n) for n in range(6)), *(("b", n) for n in range(4)),
        ]  # fmt: skip
        assert sets["set"].to_list() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 6]
        assert found.table.height == 7
        assert found.table["stars"].to_list() == [4, 5, 3, None, None, None, 2]
        assert found.table["stars"].dtype == pl.Int64
        assert found.provenance.height == found.table.height * found.table.width
        (cell,) = found.provenance.filter((pl.col("set") == 1) & (pl.col("column") == "name")).rows(
            named=True
        )
        assert set(cell["candidates"]) == {"Blue Lagoon", "blue lagoon cafe"}
        assert cell["sources"] in (["a:1"], ["b:1"])
        said = found.provenance.filter(pl.col("column") == "city")["sources"].to_list()
        assert said == [[f"a:{n}"] for n in range(6)] + [[]]

    def test_every_kind_gives_the_same_in_its_kind(self, folder):
        wanted = integrate({"a": A, "b": B}, settings=QUICK)
        for made in (pl.DataFrame.to_pandas, pl.DataFrame.to_arrow,
                     lambda f: duckdb.from_arrow(f.to_arrow())):  # fmt: skip
            found = integrate({"a": made(A), "b": made(B)}, settings=QUICK)
            assert type(found.table) is type(made(A))
            assert read(found.sets).frame.rows() == wanted.sets.rows()
        found = integrate(folder, settings=QUICK)
        assert_frame_equal(found.sets, wanted.sets)

    @pytest.mark.parametrize(
        "tables",
        [
            {"a": A.head(1)},
            {"a": A.head(0), "b": B},
            {"a": A, "b": pl.DataFrame({"other": [1, 2]})},
            {"a": A.with_columns(city=pl.lit(None, dtype=pl.String))},
            {"a": pl.DataFrame({"x": [None, None]})},
        ],
        ids=["one row", "no row", "no shared column", "a column of NULL", "nothing but NULL"],
    )
    def test_nothing_is_lost_from_poor_tables(self, tables):
        found = integrate(tables, settings=QUICK)
        assert found.sets.height == sum(table.height for table in tables.values())
        assert found.table.height == len(set(found.sets["set"].to_list()))


GOOD = "name,city\nGolden Dragon,Boston\nBlue Lagoon,Salem\n"
POOR = {
    "ragged rows": (b"name,city\ngolden dragon\nblue lagoon,salem,x,y\n", 2,
                    "line 2: has fewer fields than the header: the missing cells are empty\n"),
    "wrong encoding": ("name,city\nCaf\u00e9 M\u00fcnchen,Boston\n".encode("cp1252"), 1,
                       "byte 13: is not UTF-8; read as Windows-1252"),
    "repeated headers": (b"name,name,city\na,golden dragon,boston\n", 1, "the second is name_2"),
    "a column of NULL": (b"name,city,stars\ngolden dragon,,\nblue lagoon,,\n", 2, ""),
    "one row": (b"name,city\ngolden dragon,boston\n", 1, ""),
    "no row": (b"name,city\n", 0, ""),
    "no shared column": (b"stars,kind\n4,grill\n5,cafe\n", 2, ""),
    "a cell of 1 MB": (b"name,city\n" + b"golden dragon " * 75_000 + b",boston\n", 1, ""),
    "a formula": (b"name,city\n=2+5+cmd|' /C calc'!A0,boston\n", 1, ""),
}  # fmt: skip


class TestPoorFiles:
    """Each is integrated with a good table, by the command: nothing of it is lost."""

    @pytest.mark.parametrize("case", POOR)
    def test_every_row_is_accounted_for(self, call, tmp_path, case):
        content, rows, told = POOR[case]
        lake, out = tmp_path / "lake", tmp_path / "run"
        lake.mkdir()
        (lake / "good.csv").write_text(GOOD)
        (lake / "poor.csv").write_bytes(content)
        status, _, err = call("integrate", "--data", lake, "--out", out, "--set=epochs=0",
                              "--processes", 1, "--quiet")  # fmt: skip
        assert status == 0
        assert told in err
        notes = [line for line in err.splitlines() if "of two tables" not in line]
        assert len(notes) == bool(told) * (2 if case == "ragged rows" else 1)
        sets = read(out / "sets.csv").frame
        wanted = [("good", 0), ("good", 1), *(("poor", row) for row in range(rows))]
        assert [(table, int(row)) for table, row in sets.select("table", "row").rows()] == wanted
        table, grounds = read(out / "table.csv").frame, read(out / "provenance.csv").frame
        assert table.height == sets["set"].n_unique()
        assert grounds.height == table.height * table.width
        # Each cell that came in is among what its set's cell was chosen from, if not as written.
        said = read(lake / "poor.csv").frame
        for row in range(rows):
            number = sets["set"][2 + row]
            own = {c: s for n, c, s in grounds.select("set", "column", "candidates").iter_rows()
                   if n == number}  # fmt: skip
            for column in said.columns:
                cell = said[column][row]
                forms = {canonical(text, "text") for text in json.loads(own[column])}
                assert cell is None or canonical(cell, "text") in forms
        for name in ("table", "provenance", "conflicts"):
            for line in csv.reader((out / f"{name}.csv").open(newline="")):
                assert not any(cell.startswith("=") for cell in line)


class TestReadme:
    """What the README shows, as it stands there."""

    README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

    def test_match_group_and_resolve(self, call, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        tables, _ = simulate(700)
        whole = [t.with_columns(shop=pl.lit(name)) for name, t in tables.items()]
        pl.concat(whole)[:1000].write_csv("rows.csv")
        chain = [
            line for line in re.findall(r"^nearfar-tables (.*?)(?:\s+#.*)?$", self.README, re.M)
            if line.startswith(("match --data rows.csv --source", "group", "resolve --data rows"))
            and "..." not in line
        ]  # fmt: skip
        assert [line.split()[0] for line in chain] == ["match", "group", "resolve", "resolve"]
        for line in chain:
            quick = ["--quiet", "--set=epochs=0"] if line.startswith("match") else []
            status, told, err = call(*line.split(), *quick)
            assert (status, err) == (0, "")
        by = [part.split(" by ")[1] for part in re.search(r"\((.*)\)", told)[1].split(", ")]
        assert "accu" in by

    def test_python(self, tmp_path):
        rows = 40
        names = pd.Series([f"maker{n % 7} thing{n} red" for n in range(rows)])
        price = np.arange(rows) * 1.5
        pd.DataFrame({"name": names, "price": price}).to_csv(tmp_path / "abt.csv", index=False)
        pd.DataFrame({"title": names.str.upper(), "price": price}).to_csv(
            tmp_path / "buy.csv", index=False
        )
        pd.DataFrame({"name": names[:5], "price": price[:5]}).to_csv(
            tmp_path / "walmart.csv", index=False
        )
        names = {"folder": tmp_path / "kept"}
        blocks = re.findall(r"^```python\n(.*?)^```", self.README, re.M | re.S)
        for block in blocks:
            exec(block.replace('read_csv("', f'read_csv("{tmp_path}/'), names)
        assert isinstance(names["result"].table, pd.DataFrame)
        assert "title" not in names["result"].table
        assert (tmp_path / "kept" / "lake.json").exists()


class TestCommands:
    def test_integrate_leaves_a_run(self, call, folder, tmp_path):
        out = tmp_path / "run"
        status, told, _ = call("integrate", "--data", folder, "--out", out, "--set=epochs=0")
        assert status == 0
        assert "report" in told
        assert {path.name for path in out.iterdir()} == {
            "settings.yaml", "metrics.json", "log.jsonl", "report.html", "table.csv", "sets.csv",
            "pairs.csv", "conflicts.csv", "provenance.csv", "checkpoint",
        }  # fmt: skip
        assert Metrics.read(out / "metrics.json").verb == "integrate"
        assert read(out / "sets.csv").frame.height == 10
        page = (out / "report.html").read_text()
        assert "<td>0</td><td>a:0</td><td>Golden Dragon</td>" in page
        assert "<td>0</td><td>b:0</td><td>golden dragon</td>" in page
        # Each pair that was looked at, with both of its rows' cells.
        doubtful = page[page.index("most doubtful") :]
        assert "<td>b:2</td><td></td><td></td><td></td><td>casa pepe</td>" in doubtful
        assert "Blue Lagoon | blue lagoon cafe" in page or "blue lagoon cafe | Blue Lagoon" in page
        # --resume would not help: the run is done.
        for more in ([], ["--resume"]):
            status, _, err = call("integrate", "--data", folder, "--out", out, *more)
            assert status == 2
            assert err.rstrip().endswith("holds a finished run; expected a new folder")

    def test_a_run_stopped_while_its_files_were_written_goes_on(
        self, call, folder, tmp_path, monkeypatch
    ):
        from nearfar_tables import lake

        out = tmp_path / "run"
        integrating = ["integrate", "--data", folder, "--out", out, "--set=epochs=0", "--quiet"]

        def stopped(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(lake.Lake, "save", stopped)
            assert call(*integrating)[0] != 0
        status, _, err = call(*integrating)
        assert (status, "holds a stopped run; expected a new folder, or --resume" in err) == (
            2,
            True,
        )
        assert call(*integrating, "--resume")[0] == 0
        assert Metrics.read(out / "metrics.json").resumed

    def test_time_and_counts_are_those_of_the_whole_run(self, call, folder, tmp_path, monkeypatch):
        from nearfar_tables import lake

        learn = lake.learn

        def slow(*given, **named):
            time.sleep(1.0)
            return learn(*given, **named)

        monkeypatch.setattr(lake, "learn", slow)
        out = tmp_path / "run"
        call("integrate", "--data", folder, "--out", out, "--set=epochs=0", "--quiet")
        metrics = Metrics.read(out / "metrics.json")
        assert metrics.seconds >= 1.0
        assert {record.metric: record.value for record in metrics.records} == {
            "rows in": 10, "rows out": 7, "sets of several rows": 3, "pairs scored": 3,
            "pairs matched": 3, "conflicts": read(out / "conflicts.csv").frame.height,
        }  # fmt: skip

    def test_ties_of_two_tables_are_told(self, call, folder, tmp_path):
        out = tmp_path / "run"
        _, told, err = call("integrate", "--data", folder, "--out", out, "--set=epochs=0")
        conflicts = read(out / "conflicts.csv").frame
        count = conflicts.height
        assert count > 0
        assert f"note: {count} ties of two tables: the first table's value (a) was taken" in err
        assert f"were decided ({count} by vote)" in told
        assert all(json.loads(said)[0].startswith("a:") for said in conflicts["sources"])
        assert f"{count} ties of two tables" in (out / "report.html").read_text()
        C = A.with_columns(pl.col("street") + " West")
        C.write_csv(folder / "c.csv")
        _, _, err = call("integrate", "--data", folder, "--out", tmp_path / "three",
                         "--set=epochs=0")  # fmt: skip
        assert "ties of two tables" not in err

    def test_all_columns_that_look_alike_are_taken_by_one_line(self, call, folder, tmp_path):
        (folder / "b.csv").unlink()
        A.rename({"city": "place", "street": "road"}).write_csv(folder / "c.csv")
        _, _, err = call("integrate", "--data", folder, "--out", tmp_path / "r", "--set=epochs=0")
        (line,) = [line for line in err.splitlines() if "rows were matched all the same" in line]
        options = line[line.index("--align") :].split()
        assert len(options) == 4
        status, _, err = call("integrate", "--data", folder, "--out", tmp_path / "again",
                              "--set=epochs=0", *options)  # fmt: skip
        assert (status, "looks like" in err) == (0, False)
        assert read(tmp_path / "again" / "table.csv").frame.columns == A.columns

    def test_step_by_step_is_the_whole(self, call, folder, tmp_path):
        whole = integrate(folder, settings=QUICK)
        union = tmp_path / "union.csv"
        pl.concat(
            [A.with_columns(src=pl.lit("a")),
             B.rename({"Name": "name"}).cast(pl.String).with_columns(src=pl.lit("b"))],
            how="diagonal",
        ).write_csv(union)  # fmt: skip
        pairs, sets, final = (tmp_path / f"{name}.csv" for name in ("pairs", "sets", "final"))
        assert call("match", "--data", union, "--source", "src", "--out", pairs,
                    "--set=epochs=0", "--quiet")[0] == 0  # fmt: skip
        assert call("group", "--data", pairs, "--rows", 10, "--out", sets)[0] == 0
        assert read(sets).frame["set"].cast(int).to_list() == whole.sets["set"].to_list()
        labelled = tmp_path / "labelled.csv"
        pl.concat([read(union).frame, read(sets).frame.select("set")], how="horizontal").write_csv(
            labelled
        )
        backwards = tmp_path / "backwards.csv"
        read(sets).frame.reverse().write_csv(backwards)
        # As a column of the table, and as the file that group wrote, in any order.
        for data, by in ((labelled, "set"), (union, sets), (union, backwards)):
            status, told, _ = call("resolve", "--data", data, "--sets", by, "--source", "src",
                                   "--out", final)  # fmt: skip
            assert status == 0
            assert f"{whole.conflicts.height} conflicts decided in 7 sets" in told
            names = whole.table["name"].to_list()
            assert read(final).frame["name"].to_list() == names
        for data, by, what in (
            (labelled, sets, "has a column set of its own"),
            (folder / "a.csv", sets, "names 10 rows; expected each of"),
        ):
            status, _, err = call("resolve", "--data", data, "--sets", by, "--out", final)
            assert (status, what in err) == (2, True)

    def test_update_tells_a_column_that_is_new(self, call, folder, tmp_path):
        run, more = tmp_path / "run", tmp_path / "more.csv"
        _, told, _ = call("integrate", "--data", folder, "--out", run, "--set=epochs=0")
        assert "10 rows of 2 tables became 7" in told
        A.rename({"city": "place"}).write_csv(more)
        status, told, err = call("update", "--model", run, "--data", more, "--out", tmp_path / "u")
        assert status == 0
        assert "16 rows of 3 tables became" in told
        assert "note: column place of more is in no other table and looks like city" in err
        assert "--align more.place=city" in err
        assert "looks like city" in (tmp_path / "u" / "report.html").read_text()
        status, _, err = call("update", "--model", run, "--data", more, "--out", tmp_path / "u")
        assert (status, err.rstrip().endswith("holds a run; expected a new folder")) == (2, True)

    def test_given_pairs_are_scored_in_their_order(self, call, folder, tmp_path):
        pairs, out = tmp_path / "p.csv", tmp_path / "s.parquet"
        pairs.write_text("left,right,label\n5,4,0\n0,1,1\n2,3,\n".replace("2,3,\n", "2,3,-1\n"))
        assert call("match", "--data", folder / "a.csv", "--pairs", pairs, "--out", out,
                    "--set=epochs=0")[0] == 0  # fmt: skip
        found = read(out).frame
        assert found.select("left", "right").rows() == [(5, 4), (0, 1), (2, 3)]
        assert found["match"].to_list()[:2] == [False, True]

    def test_few_pairs_of_rows_that_differ_do_not_match(self, call, tmp_path):
        tables, _ = simulate(300)
        rows, pairs, out = (tmp_path / f"{name}.csv" for name in ("rows", "pairs", "out"))
        guide = tables["guide_1"]
        pl.concat([guide, guide[5:6]]).write_csv(rows)
        pairs.write_text(f"left,right\n1,100\n0,150\n5,{guide.height}\n")
        status, told, err = call("match", "--data", rows, "--pairs", pairs, "--out", out,
                                 "--set=epochs=1", "--quiet")  # fmt: skip
        assert status == 0
        assert "1 of 3 pairs match" in told
        assert read(out).frame["match"].to_list() == ["false", "false", "true"]
        assert "note: no line between matches and others could be found from 3 pairs" in err

    def test_one_table_of_different_things_stays_as_it_is(self, call, tmp_path):
        """Of rows that all differ two normals made 71 sets, some of five restaurants."""
        guide = simulate(200)[0]["guide_1"]
        guide.write_csv(tmp_path / "guide.csv")
        status, told, err = call("integrate", "--data", tmp_path / "guide.csv",
                                 "--out", tmp_path / "run", "--quiet")  # fmt: skip
        assert status == 0
        assert f"{guide.height} rows of 1 tables became {guide.height};" in told
        assert "note: in one table alone no line between matches and others stands out" in err
        assert "in one table alone no line" in (tmp_path / "run" / "report.html").read_text()
        status, told, err = call("match", "--data", tmp_path / "guide.csv",
                                 "--out", tmp_path / "pairs.csv", "--quiet")  # fmt: skip
        assert told.startswith("0 of ")
        assert "note: in one table alone no line" in err

    def test_one_table_that_repeats_things_becomes_as_many_as_there_are(self, call, tmp_path):
        tables, truth = simulate(200)
        pl.concat(tables.values()).write_csv(tmp_path / "all.csv")
        out = tmp_path / "run"
        _, _, err = call("integrate", "--data", tmp_path / "all.csv", "--out", out, "--quiet")
        assert "no line" not in err
        sets = read(out / "sets.csv").frame["set"].cast(int).to_numpy()
        assert pairwise_scores(truth, sets)[2] > 0.98

    def test_pairs_of_rows_that_are_not_there(self, call, folder, tmp_path):
        pairs = tmp_path / "p.csv"
        pairs.write_text("left,right\n0,1\n2,9999\n")
        for command in (["match", "--data", folder / "a.csv", "--pairs", pairs],
                        ["group", "--data", pairs, "--rows", 6]):  # fmt: skip
            status, _, err = call(*command, "--out", tmp_path / "o.csv")
            assert (status, err) == (2, f"error: {pairs}, row 1: right is 9999; expected 0 to 5\n")

    def test_match_one_says_why_it_finds_nothing(self, call, folder, tmp_path):
        run = tmp_path / "run"
        call("integrate", "--data", folder, "--out", run, "--set=epochs=0", "--quiet")
        status, told, err = call("match-one", "--model", run, "--row", '{"name": "Xyzzy Plugh"}')
        assert (status, told) == (0, "")
        assert "no set found: none shares 2 rare words with this row" in err
        status, _, err = call("match-one", "--model", folder, "--row", '{"name": "x"}')
        assert status == 2
        assert err == (
            f"error: --model {folder}: holds no integrated tables; expected the run folder of "
            "integrate or update\n"
        )

    def test_the_demo_beats_joining_equal_names(self, call, tmp_path):
        status, _, _ = call("demo", "--out", tmp_path / "demo", "--quiet", "--set=epochs=0")
        assert status == 0
        metrics = Metrics.read(tmp_path / "demo" / "metrics.json")
        scores = {(r.method, r.metric): r.value for r in metrics.records}
        for metric in ("pairwise F1", "B-cubed F1", "set similarity"):
            assert scores["nearfar", metric] > max(0.95, scores["same name", metric] + 0.05)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["integrate", "--data", "nowhere"], "nowhere: no such file"),
            (["integrate", "--data", "LAKE", "--align", "x"], "expected table.column=name"),
            (["integrate", "--data", "LAKE", "--align", "z.x=y"], "no table 'z'"),
            (["integrate", "--data", "LAKE", "--set", "epoch=1"], "the nearest is epochs"),
            (["integrate", "--data", "LAKE", "--ending", "xls"], "expected csv or parquet"),
            (["integrate", "--data", "LAKE", "--set", "priority=[z]"], "priority: no table 'z'"),
            (["resolve", "--data", "LAKE/a.csv", "--sets", "city", "--out", "o.csv", "--set",
              "priority=[z]"], "expected --source, the column of their names"),
            (["match", "--data", "LAKE/a.csv", "--source", "x", "--out", "o.csv"], "no column 'x'"),
            (["match", "--data", "LAKE/a.csv", "--pairs", "LAKE/b.csv", "--out", "o.csv"],
             "no column 'left'"),
            (["resolve", "--data", "LAKE/a.csv", "--sets", "x", "--out", "o.csv"],
             "x: is no column of"),
            (["resolve", "--data", "LAKE/a.csv", "--sets", "city", "--out", "o.xls"],
             "ends in '.xls'"),
            (["bench", "--data", "LAKE"], "expected folders ditto/er_magellan"),
            (["bench", "--data", "LAKE", "--methods", "x"], "expected some of nearfar"),
        ],
    )  # fmt: skip
    def test_mistakes(self, call, folder, tmp_path, monkeypatch, arguments, told):
        monkeypatch.chdir(tmp_path)
        given = [a.replace("LAKE", str(folder)) for a in arguments]
        status, _, err = call(*given)
        assert status == 2
        assert told in err
        assert len(err.strip().splitlines()) == 1
        assert not (tmp_path / "o.csv").exists()
