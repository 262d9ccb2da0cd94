"""The comparison's own parts: layouts that are read, agreement with a full disjunction, noise."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from nearfar_kit.command import run_app
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Metrics
from nearfar_tables.bench.splink import splink_is_there, splink_pairs
from nearfar_tables.bench.whole import agreement
from nearfar_tables.benchmark_layout import find_sets, read_set
from nearfar_tables.cli import app
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
            ("conflicts.json", "{", "conflicts.json: is no JSON"),
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
