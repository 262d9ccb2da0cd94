"""Tables that grow: sets keep their numbers, and a row is found without being added."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nearfar_kit.command import run_app
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_tables import Lake, TablesSettings, integrate
from nearfar_tables.cli import app
from nearfar_tables.matching import Scored
from nearfar_tables.measures import pairwise_scores
from nearfar_tables.readers import read_all
from nearfar_tables.simulate import simulate, write_simulated

QUICK = load_settings(TablesSettings, overrides=["epochs=0"])


@pytest.fixture(scope="module")
def guides():
    tables, truth = simulate(120, seed=2)
    ends = np.cumsum([table.height for table in tables.values()])
    return tables, np.split(truth, ends[:-1])


@pytest.fixture
def lake(guides):
    tables, _ = guides
    first = {name: tables[name] for name in ("guide_1", "guide_2")}
    return Lake.of(first, settings=QUICK)


def test_it_is_what_integrate_gives(guides, lake):
    tables, _ = guides
    first = {name: tables[name] for name in ("guide_1", "guide_2")}
    whole, own = integrate(first, settings=QUICK), lake.result()
    for name in ("table", "sets", "pairs", "conflicts", "provenance"):
        assert getattr(own, name).equals(getattr(whole, name))


class TestUpdate:
    def test_what_is_joined_stays(self, guides, lake):
        tables, truth = guides
        before, height = lake.sets.copy(), lake.union.frame.height
        new = lake.update({"guide_3": tables["guide_3"]})
        assert np.array_equal(lake.sets[:height], before)
        assert np.array_equal(lake.sets[height:], new)
        found = lake.result()
        assert found.sets.height == sum(table.height for table in tables.values())
        assert sorted(found.sets["set"].unique()) == list(range(found.table.height))
        assert pairwise_scores(np.concatenate(truth), lake.sets)[2] > 0.9
        # Of one table a set has one row at most.
        rows = pl.DataFrame({"set": lake.sets, "table": lake.union.rows["table"]})
        assert rows.filter(pl.col("table") == "guide_3")["set"].is_unique().all()

    def test_in_parts_or_at_once(self, guides, lake, tmp_path):
        tables, _ = guides
        third = tables["guide_3"]
        lake.save(tmp_path)
        other = Lake.load(tmp_path)
        whole = lake.update({"guide_3": third})
        parts = np.concatenate(
            [other.update({"guide_3": part}) for part in (third[:40], third[40:])]
        )
        old = whole <= max(lake.sets[: len(lake.sets) - len(whole)])
        agree = (whole == parts)[old].mean()
        assert agree > 0.95  # the better partner may come later
        assert lake.union.rows.equals(other.union.rows)  # rows are numbered on

    def test_new_rows_among_themselves(self, lake):
        town = "Nowhere Springs"
        a = pl.DataFrame({"name": ["Quiet Yurt Xanadu"], "town": [town], "telephone": ["9-9-9 77"]})
        b = a.with_columns(name=pl.lit("quiet yurt xanadu"))
        count = int(lake.sets.max()) + 1
        assert lake.update({"x": a, "y": b}).tolist() == [count, count]

    def test_a_new_column_is_kept(self, lake):
        lake.update({"x": pl.DataFrame({"name": ["Odd Place"], "stars": [5]})})
        found = lake.result()
        assert found.table["stars"].to_list()[-1] == 5
        assert found.table["stars"].null_count() == found.table.height - 1

    def test_nothing_in_common(self, lake):
        with pytest.raises(UserError, match="table x has columns colour; expected some of name"):
            lake.update({"x": pl.DataFrame({"colour": ["red"]})})
        assert lake.union.frame.height == len(lake.sets)

    def test_one_table_deduplicated(self):
        rows = [("golden dragon", "12 main street"), ("blue lagoon", "7 harbour road"),
                ("casa pepe", "99 elm avenue"), ("olive press", "3 king street"),
                ("golden dragon", "12 main street")]  # fmt: skip
        frame = pl.DataFrame(rows, ["name", "street"], orient="row")
        lake = Lake.of({"a": frame}, settings=QUICK)
        assert lake.sets[4] == lake.sets[0]
        assert lake.update({"a": frame[1:2]}).tolist() == [lake.sets[1]]
        assert lake.union.rows["row"].to_list() == [0, 1, 2, 3, 4, 5]


class TestMatchOne:
    def test_the_likeliest_set_first(self, lake):
        place = int(np.flatnonzero(np.bincount(lake.sets)[lake.sets] == 2)[0])
        before = lake.sets.copy()
        row = lake.union.frame.row(place, named=True)
        found = lake.match_one({**row, "name": row["name"].upper()})
        assert found[0].set == lake.sets[place]
        assert found[0].probability > 0.5
        assert len(found[0].rows) == 2
        probabilities = [partner.probability for partner in found]
        assert probabilities == sorted(probabilities, reverse=True)
        assert np.array_equal(lake.sets, before)

    def test_a_set_is_as_likely_as_its_likeliest_row(self, lake, monkeypatch):
        place = int(np.flatnonzero(np.bincount(lake.sets)[lake.sets] == 2)[0])
        one, two = np.flatnonzero(lake.sets == lake.sets[place]).tolist()
        before = len(lake.sets)
        pairs = np.array([(one, before), (two, before)])
        said = Scored(pairs, np.zeros(2), np.array([0.9, 0.6]), np.array([True, True]))
        monkeypatch.setattr(Lake, "_scored", lambda *_: said)
        (found,) = lake.match_one(lake.union.frame.row(place, named=True))
        assert (found.set, found.probability) == (lake.sets[place], 0.9)

    def test_nothing_alike(self, lake):
        assert lake.match_one({"name": "Xyzzy Plugh"}) == []

    def test_an_unknown_column(self, lake):
        with pytest.raises(UserError, match="has columns colour; expected some of"):
            lake.match_one({"colour": "red"})


class TestFiles:
    def test_saved_and_read(self, guides, lake, tmp_path):
        tables, _ = guides
        lake.save(tmp_path)
        again = Lake.load(tmp_path)
        assert again.union.frame.equals(lake.union.frame)
        assert np.array_equal(again.sets, lake.sets)
        assert again.result().table.equals(lake.result().table)
        row = tables["guide_3"].row(0, named=True)
        assert again.match_one(row) == lake.match_one(row)

    def test_damage(self, lake, tmp_path):
        with pytest.raises(UserError, match="holds no integrated tables"):
            Lake.load(tmp_path)
        lake.save(tmp_path)
        (tmp_path / "rows.parquet").write_bytes(b"PAR1")
        with pytest.raises(UserError, match=r"rows.parquet: is no parquet file"):
            Lake.load(tmp_path)
        lake.save(tmp_path)
        (tmp_path / "pairs.safetensors").write_bytes(b"x")
        with pytest.raises(UserError, match=r"pairs.safetensors: is no checkpoint"):
            Lake.load(tmp_path)


def shown_doubts(page):
    """The score that a report says matches begin at, and those of its most doubtful pairs."""
    table = page[page.index("most doubtful") :].split("</table>")[0]
    limit = re.search(r"nearest (-?[\d.]+), where", table)[1]
    return float(limit), [
        float(s) for s in re.findall(r"<td>[^<]*:\d+</td><td>(-?[\d.]+)</td>", table)
    ]


def test_the_commands(guides, tmp_path, capsys):
    tables, _ = guides
    lake, run = tmp_path / "lake", tmp_path / "run"
    lake.mkdir()
    for name in ("guide_1", "guide_2"):
        tables[name].write_csv(lake / f"{name}.csv")
    tables["guide_3"].write_csv(tmp_path / "guide_3.csv")

    def call(*arguments):
        with pytest.raises(SystemExit) as end:
            run_app(app, [str(a) for a in arguments])
        return (end.value.code or 0, *capsys.readouterr())

    assert call("integrate", "--data", lake, "--out", run, "--set=epochs=0", "--quiet")[0] == 0
    before = pl.read_csv(run / "sets.csv")
    assert (run / "scores.png").exists()
    page = (run / "report.html").read_text()
    assert "Pairs match from a score of " in page
    limit, scores = shown_doubts(page)
    assert len(scores) == 20
    assert max(scores) > limit > min(scores)
    away = [abs(score - limit) for score in scores]
    assert away == sorted(away)
    assert "<th>town</th>" in page
    row = tables["guide_1"].row(0, named=True)
    status, told, err = call("match-one", "--model", run, "--row", json.dumps(row))
    assert (status, err) == (0, "")
    assert json.loads(told.splitlines()[0])["set"] == before["set"][0]
    unlike = {name: tables["guide_1"][name][n] for n, name in enumerate(tables["guide_1"].columns)}
    status, told, err = call("match-one", "--model", run, "--row", json.dumps(unlike))
    assert status == 0
    assert all(json.loads(line)["probability"] < 0.5 for line in told.splitlines())
    assert "none of these matches: the likeliest has a probability of " in err
    status, _, err = call("match-one", "--model", run, "--row", "{name: x}")
    assert status == 2
    assert "--row: is no JSON object" in err
    more = tmp_path / "more"
    status, told, _ = call(
        "update", "--model", run, "--data", tmp_path / "guide_3.csv", "--out", more, "--quiet"
    )
    assert status == 0
    after = pl.read_csv(more / "sets.csv")
    assert after[: before.height].equals(before)
    assert after.height == before.height + tables["guide_3"].height
    assert (more / "report.html").exists()
    # What was updated can be updated again, and its first run is as it was.
    assert pl.read_csv(run / "sets.csv").equals(before)
    assert call("match-one", "--model", more, "--row", json.dumps(row))[0] == 0
    status, _, err = call("update", "--model", lake, "--data", lake, "--out", tmp_path / "no")
    assert status == 2
    assert "holds no integrated tables" in err
    assert not (tmp_path / "no").exists()


def test_what_simulate_writes_is_the_lake(tmp_path):
    write_simulated(tmp_path, seed=3)
    tables, truth = simulate(seed=3)
    found = {source.name: source.frame for source in read_all(tmp_path / "lake")}
    assert found.keys() == tables.keys()
    for name, frame in tables.items():
        assert found[name].equals(frame.cast(pl.String).with_columns(pl.all().replace("", None)))
    told = pl.read_csv(tmp_path / "truth.csv")
    assert told["restaurant"].to_list() == list(truth)
    rows = [(name, row) for name, frame in tables.items() for row in range(frame.height)]
    assert told.select("table", "row").rows() == rows


def test_the_row_that_the_first_page_asks_for_is_a_guides():
    page = (Path(__file__).parents[3] / "README.md").read_text()
    row = json.loads(re.search(r"tables match-one .*--row '(.*)'", page)[1])
    assert simulate()[0]["guide_1"].filter(**row).height == 1
