"""The whole, from Python and from the command line: nothing lost, one clear line for a mistake."""

from __future__ import annotations

import ast
import csv

import duckdb
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
    "ragged rows": (b"name,city\ngolden dragon\nblue lagoon,salem,x,y\n", 2, "and 0 more rows"),
    "wrong encoding": ("name,city\nCaf\u00e9 M\u00fcnchen,Boston\n".encode("cp1252"), 1,
                       "read as Windows-1252"),
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
        assert bool(err) == bool(told)
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
                forms = {canonical(text, "text") for text in ast.literal_eval(own[column])}
                assert cell is None or canonical(cell, "text") in forms
        for name in ("table", "provenance", "conflicts"):
            for line in csv.reader((out / f"{name}.csv").open(newline="")):
                assert not any(cell.startswith("=") for cell in line)


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
        assert "a:0, b:0" in page
        assert "Blue Lagoon | blue lagoon cafe" in page or "blue lagoon cafe | Blue Lagoon" in page
        status, _, err = call("integrate", "--data", folder, "--out", out, "--set=epochs=0")
        assert (status, "holds a run" in err) == (2, True)

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
