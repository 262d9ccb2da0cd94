"""The comparison's own parts: layouts that are read, agreement with a full disjunction, noise."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nearfar_kit.command import run_app
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Metrics
from nearfar_tables.bench import matching
from nearfar_tables.bench.noise import _conflicts, _judgement
from nearfar_tables.bench.part import Ask
from nearfar_tables.bench.published import _scores
from nearfar_tables.bench.splink import splink_is_there, splink_pairs
from nearfar_tables.bench.whole import agreement
from nearfar_tables.benchmark_layout import find_sets, read_set
from nearfar_tables.benchmarks import LabelledPairs
from nearfar_tables.cli import app
from nearfar_tables.integration import Result
from nearfar_tables.matching import Scored
from nearfar_tables.settings import TablesSettings
from nearfar_tables.simulate import simulate


@pytest.fixture
def published(tmp_path):
    """``Real/R1``: five rows, two integrable sets and a lone row; a conflict."""
    folder = tmp_path / "Real" / "R1"
    folder.mkdir(parents=True)
    (folder / "R1.csv").write_text(
        "id,city,state\na,Boston,MA\nb,boston city,\nc,Reno,NV\nd,reno town,NV\ne,Lima,\n"
    )
    (folder / "integrable_sets.txt").write_text("a, b\n\n[c d]\n")
    (folder / "integrable_pairs.txt").write_text("b a\n('c', 'd')\n")
    (folder / "conflicts.json").write_text(
        json.dumps(
            [
                {"known": {"city": "Reno"}, "attribute": "state", "candidates": ["MA", "NV"],
                 "truth": "NV"},
                {"known": {"city": "Oslo"}, "attribute": "state", "candidates": ["MA", "NV"],
                 "truth": "NV"},
            ]
        )
    )  # fmt: skip
    return folder


class TestPublishedLayout:
    def test_what_it_says(self, published):
        found = read_set(published)
        assert found.name == "R1"
        assert found.frame.columns == ["city", "state"]
        assert found.sets.tolist() == [0, 0, 1, 1, 2]
        assert found.pairs == {(0, 1), (2, 3)}
        assert found.questions[0].known == {"city": "Reno"}
        assert found.questions[0].candidates == ("MA", "NV")
        assert found.answers == ("NV", "NV")

    def test_rows_are_known_by_number_where_no_column_names_them(self, published):
        (published / "R1.csv").write_text("city\nx\ny\nz\n")
        (published / "integrable_sets.txt").write_text("0 2\n")
        (published / "integrable_pairs.txt").write_text("2,0\n")
        (published / "conflicts.json").unlink()
        found = read_set(published)
        assert found.sets.tolist() == [0, 1, 0]
        assert found.pairs == {(0, 2)}
        assert found.questions == ()

    def test_real_before_join_in_their_order(self, published, tmp_path):
        for name in ("Join/J2", "Join/J10", "Real/R11"):
            (tmp_path / name).mkdir(parents=True)
        assert [path.name for path in find_sets(tmp_path)] == ["R1", "R11", "J2", "J10"]
        assert find_sets(tmp_path / "Real") == []

    @pytest.mark.parametrize(
        ("file", "content", "told"),
        [
            ("integrable_pairs.txt", "a b\na b c\n", "pairs.txt, line 2: has 3 ids; expected two"),
            ("integrable_pairs.txt", "a z\n", "pairs.txt, line 1: no row 'z'"),
            ("integrable_sets.txt", "a b\nb c\n", "sets.txt, line 2: a row is of another set too"),
            ("conflicts.json", "{", "conflicts.json: is no valid JSON"),
            ("conflicts.json", "{}", "is a dict; expected a list of conflicts"),
            ("conflicts.json", '[{"known": {}}]', "json, item 0: is no conflict; expected known"),
            ("other_sets.txt", "", r"holds 2 files \*set\*.txt; expected one"),
        ],
    )
    def test_mistakes(self, published, file, content, told):
        (published / file).write_text(content)
        with pytest.raises(UserError, match=told):
            read_set(published)

    def test_the_command_scores_it(self, published, tmp_path):
        out = tmp_path / "out"
        with pytest.raises(SystemExit) as end:
            run_app(app, ["bench", "--data", str(tmp_path), "--out", str(out), "--parts",
                          "published", "--set=epochs=0", "--quiet"])  # fmt: skip
        assert not end.value.code
        scores = {r.metric: r.value for r in Metrics.read(out / "metrics.json").records}
        assert scores["conflict accuracy"] == 0.5  # neighbours of Oslo say nothing
        assert 0 < scores["set similarity"] <= 1
        assert "The published sets" in (out / "table.md").read_text()


class TestAgreement:
    TRUE = pl.DataFrame({"Team": ["Bears", "Jets"], "stadium": ["Soldier Field", None]})

    def test_by_hand(self):
        rows = [(None, "jets", 1), ("soldier field", "BEARS", 2), ("x", None, 3)]
        found = pl.DataFrame(rows, ["facility", "team", "index"], orient="row")
        assert agreement(self.TRUE, found) == pytest.approx((2 / 3, 3 / 4, 1.0))
        found = pl.DataFrame({"team": ["Bears", "Mets"]})
        # Bears: one of its two cells; Mets against Jets: none.
        assert agreement(self.TRUE, found) == pytest.approx((0.5 / 2, 1 / 2, 1 / 3))

    def test_the_truth_itself(self):
        assert agreement(self.TRUE, self.TRUE[::-1]) == pytest.approx((1, 1, 1))


def test_splink_finds_most_of_what_is_given():
    if not splink_is_there():
        pytest.skip("splink is not installed")
    tables, truth = simulate(60, seed=0)
    one, two = tables["guide_1"], tables["guide_2"]
    frame = pl.concat([one, two])
    source = np.repeat([0, 1], [one.height, two.height])
    pairs = np.array([(a, b) for a in range(one.height) for b in range(one.height, len(source))])
    yes = splink_pairs(frame, source, pairs)
    same = truth[pairs[:, 0]] == truth[pairs[:, 1]]
    assert (yes & same).sum() > 0.8 * same.sum()
    assert (yes & ~same).sum() < 0.2 * same.sum()


def judged(pairs):
    """A result with these pairs of (table, row), (table, row) and whether they match."""
    rows = [(*left, *right, yes) for left, right, yes in pairs]
    names = ["left_table", "left_row", "right_table", "right_row", "match"]
    frame = pl.DataFrame(rows, names, orient="row")
    none = pl.DataFrame()
    return Result(none, none, frame, none, none, ())


class TestNoiseByHand:
    """Two things in three copies, of which the second has its rows turned round."""

    TRUTH = np.array([0, 1, 1, 0, 0, 1])

    @pytest.mark.parametrize(
        ("pairs", "f1"),
        [
            # All six, of six.
            ([((1, 0), (2, 1)), ((1, 1), (2, 0)), ((1, 0), (3, 0)), ((1, 1), (3, 1)),
              ((2, 1), (3, 0)), ((2, 0), (3, 1))], 1.0),
            # One right and one wrong: 2 * 1 / (2 + 6).
            ([((1, 0), (2, 1)), ((1, 0), (2, 0))], 0.25),
            ([], 0.0),
        ],
    )  # fmt: skip
    def test_judgement(self, pairs, f1):
        told = [((f"copy_{a}", i), (f"copy_{b}", j), True) for (a, i), (b, j) in pairs]
        told.append((("copy_2", 0), ("copy_3", 0), False))  # not said to be one
        assert _judgement(judged(told), self.TRUTH, 2) == pytest.approx(f1)

    def test_conflicts(self):
        clean = pl.DataFrame({"city": ["Rome", "Oslo"], "year": ["1990", None]})
        decided = pl.DataFrame(
            {"set": [0, 1, 1], "column": ["city", "city", "year"], "value": ["ROME", "Olso", "1"]}
        )
        sets = pl.DataFrame({"set": [0, 1, 1, 0, 0, 1]})
        none = pl.DataFrame()
        found = Result(none, sets, none, decided, none, ())
        # Rome is right but for letter case, Olso is not, and of the year nothing is known.
        assert _conflicts(found, self.TRUTH, clean) == 0.5


def test_published_pairs_are_scored_by_hand(published, monkeypatch):
    """Three pairs are said to be one, of which one is among the two that are."""
    pairs = judged([
        (("t", 1), ("t", 0), True), (("t", 0), ("t", 2), True), (("t", 3), ("t", 4), True),
        (("t", 2), ("t", 3), False),
    ])  # fmt: skip
    sets = pl.DataFrame({"set": [0, 0, 1, 1, 2]})
    result = replace(pairs, sets=sets)
    monkeypatch.setattr("nearfar_tables.bench.published.integrate", lambda *_, **__: result)
    f1, similarity, _ = _scores(read_set(published), Ask(published, published, TablesSettings()))
    assert f1 == pytest.approx(2 * 1 / (3 + 2))
    assert similarity == 1


def test_the_test_part_scores_and_the_valid_part_cuts(tmp_path, monkeypatch):
    data = LabelledPairs(
        "x",
        pl.DataFrame({"name": ["aaa", "bbb", "ccc", "aaa x", "bbb", "zzz"]}),
        np.array([0, 0, 0, 1, 1, 1]),
        np.array([(0, 3), (1, 4), (2, 5), (0, 5)]),
        np.array([True, True, False, False]),
        np.array([1, 2, 2, 0]),
    )
    monkeypatch.setattr(matching, "read_pairs", lambda _: data)
    # Wrong on train and on valid, right on test.
    said = Scored(data.pairs, np.zeros(4), np.zeros(4), np.array([False, True, False, True]))
    monkeypatch.setattr(matching, "match", lambda *_, **__: said)
    job = matching._Job("x", "nearfar", 0)
    matching._match(job, paths={"x": tmp_path}, folder=tmp_path, settings=TablesSettings())
    record = json.loads((tmp_path / job.file).read_text())
    assert (record["value"], record["n"]) == (1.0, 2)
    # The only pair of valid is a match: what is as alike as it is one.
    assert matching._scored(data).tolist() == [True, True, False, False]
