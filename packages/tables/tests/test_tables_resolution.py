"""Conflicts: forms of values, truth discovery against plain loops, and one row a set."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar_kit.errors import UserError
from nearfar_tables.canonical import canonical, kind_of
from nearfar_tables.fusion import accuracy, read_book, read_flights
from nearfar_tables.resolution import RESOLVERS, ranks, resolve
from nearfar_tables.simulate import simulate
from nearfar_tables.truth import METHODS, Claims, accu, crh, slimfast, truth_finder, vote

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "tables"


class TestCanonical:
    @pytest.mark.parametrize(
        ("kind", "ways", "other"),
        [
            ("time", ["7:10 p.m.", "12/1 7:10pm", "19:10", "Dec 02 7:10 PM"], "7:10 a.m."),
            ("time", ["12:05 a.m.", "0:05"], "12:05 p.m."),
            ("date", ["2009-04-17", "17-Apr-09", "April 17, 2009"], "2009-04-18"),
            ("number", ["1,200.0", "$ 1200", "1200 kg"], "1201"),
            ("people", ["Knuth, Donald E.", "donald e. knuth", "Dr. Donald Knuth"], "Ada Knuth"),
            ("people", ["richard johnsonbaugh; marcus schaefer",
                        "Schaefer, Marcus and Johnsonbaugh, Richard"], "marcus schaefer"),
            ("text", ["St. Mary's", "st  mary s"], "st mary"),
            ("text", ["182 Mill St.", "182 mill street"], "182 mil street"),
            ("number", ["77 hill st", "77 Hill Street"], "77 ihl street"),
        ],
    )  # fmt: skip
    def test_ways_of_writing(self, kind, ways, other):
        forms = {canonical(way, kind) for way in ways}
        assert len(forms) == 1
        assert None not in forms
        assert canonical(other, kind) not in forms

    @pytest.mark.parametrize("text", ["", "N/A", "Not Available", "Dec 02 Not Available", "--"])
    @pytest.mark.parametrize("kind", ["time", "text", "people"])
    def test_nothing_is_known(self, text, kind):
        assert canonical(text, kind) is None

    def test_what_the_type_cannot_read_is_text(self):
        assert canonical("delayed", "time") == "delayed"

    @pytest.mark.parametrize(
        ("values", "name", "kind"),
        [
            (["7:10 p.m.", "n/a", "19:20"], "x", "time"),
            (["2020-01-01", "3 may 2021", "?"], "x", "date"),
            (["1", "2.5", "$ 3"], "x", "number"),
            (["ann lee"], "author_list", "people"),
            (["ann lee"], "name", "text"),
            ([], "x", "text"),
        ],
    )
    def test_types(self, values, name, kind):
        assert kind_of(values, name) == kind


def claims_of(rows):
    """Rows of (item, source, value within the item)."""
    values = {}
    item, source, value = [], [], []
    for i, s, v in rows:
        item.append(i)
        source.append(s)
        value.append(values.setdefault((i, v), len(values)))
    return Claims(np.array(item), np.array(source), np.array(value))


ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1,
                max_size=14)  # fmt: skip


class TestTruth:
    @given(ROWS)
    def test_accu_against_loops(self, rows):
        claims = claims_of(rows)
        triples = list(zip(claims.item, claims.source, claims.value, strict=True))
        trust = defaultdict(lambda: 0.8)
        posterior, before = {}, dict(enumerate(vote(claims)))
        for _ in range(50):
            weight = defaultdict(float)
            for _, s, v in triples:
                a = min(max(trust[s], 0.01), 0.99)
                weight[v] += math.log(10 * a / (1 - a))
            for i, _, v in triples:
                rest = [
                    math.exp(weight[w] - weight[v]) for w in {w for j, _, w in triples if j == i}
                ]
                posterior[v] = 1 / sum(rest)
            own = defaultdict(list)
            for _, s, v in triples:
                own[s].append(posterior[v])
            trust = {s: sum(p) / len(p) for s, p in own.items()}
            if max(abs(posterior[v] - before[v]) for v in posterior) < 1e-6:
                break
            before = dict(posterior)
        found = accu(claims)
        np.testing.assert_allclose(found, [posterior[v] for v in range(claims.values)], atol=1e-6)

    @pytest.mark.parametrize("rounds", [1, 2, 50])  # a wrong sign is right every other round
    def test_slimfast_trusts_those_who_agree(self, rounds, monkeypatch):
        """Of ten items three sources say the same, two others each something else."""
        monkeypatch.setattr("nearfar_tables.truth.ITERATIONS", rounds)
        rows = [(i, s, "true") for i in range(10) for s in (0, 1, 2)]
        rows += [(i, s, f"false {s}") for i in range(10) for s in (3, 4)]
        rows += [(10, 0, "true"), (10, 3, "a"), (10, 4, "a")]  # one of trust against two without
        claims = claims_of(rows)
        true = [claims.value[(claims.item == i) & (claims.source == 0)][0] for i in range(11)]
        assert (slimfast(claims)[true] > 0.5).all()
        assert vote(claims)[true[-1]] < 0.5

    def test_slimfast_where_most_claims_are_wrong(self):
        """Sources right two times in five, and wrong each in its own way: the truth is what several
        say, though none of them is right half of the time."""
        right = np.random.default_rng(0).random((200, 12)) < 0.4
        rows = [
            (i, s, "true" if right[i, s] else f"false {s}") for i in range(200) for s in range(12)
        ]
        claims = claims_of(rows)
        found = slimfast(claims)
        asked = np.flatnonzero(right.sum(1) > 1)
        true = [
            claims.value[(claims.item == i) & (claims.source == right[i].argmax())] for i in asked
        ]
        likeliest = [found[t[0]] == found[claims.item_of == i].max()
                     for i, t in zip(asked, true, strict=True)]  # fmt: skip
        assert np.mean(likeliest) > 0.95

    def test_truth_finder_first_round_by_hand(self):
        claims = claims_of([(0, 0, "a"), (0, 1, "a"), (0, 2, "b")])
        tau = -math.log(0.1)
        wanted = [1 / (1 + math.exp(-0.3 * n * tau)) for n in (2, 1)]
        t = [wanted[0], wanted[0], wanted[1]]
        second = [-math.log(1 - x) for x in t]
        wanted = [1 / (1 + math.exp(-0.3 * s)) for s in (second[0] + second[1], second[2])]
        import nearfar_tables.truth as module

        kept, module.ITERATIONS = module.ITERATIONS, 2
        try:
            np.testing.assert_allclose(truth_finder(claims), wanted, rtol=1e-6)
        finally:
            module.ITERATIONS = kept

    @pytest.mark.parametrize("method", [name for name in METHODS if name != "slimfast"])
    @given(rows=ROWS)
    def test_confidence_and_names_do_not_matter(self, method, rows):
        claims = claims_of(rows)
        found = METHODS[method](claims)
        assert ((found >= 0) & (found <= 1 + 1e-9)).all()
        renamed = Claims(3 - claims.item, 3 - claims.source, claims.value)
        np.testing.assert_allclose(METHODS[method](renamed), found, atol=1e-9)

    @pytest.mark.parametrize("method", [accu, crh])
    def test_a_good_source_outweighs_two_bad_ones(self, method):
        rows = [(i, s, "true") for i in range(30) for s in (0, 3, 4, 5)]
        rows += [(i, s, f"false {s}") for i in range(30) for s in (1, 2)]
        rows += [(30, 0, "true"), (30, 1, "false"), (30, 2, "false")]
        claims = claims_of(rows)
        last = claims.item_of == 30
        right, wrong = method(claims)[last]
        assert right > wrong
        assert vote(claims)[last].tolist() == [1 / 3, 2 / 3]

    def test_refusals(self):
        with pytest.raises(ValueError, match="claimed of two items"):
            Claims(np.array([0, 1]), np.array([0, 0]), np.array([0, 0]))
        with pytest.raises(ValueError, match="expected as many"):
            Claims(np.array([0]), np.array([0, 0]), np.array([0, 0]))


FRAME = pl.DataFrame(
    {
        "name": ["Ann", "ann", "Bob", "ANN", None],
        "n": [1, 1, 2, 3, None],
        "on": [date(2020, 1, 1)] * 4 + [None],
    }
)
SETS = np.array([0, 0, 1, 0, 2])


class TestResolve:
    def test_one_row_a_set_with_its_grounds(self):
        found = resolve(FRAME, SETS, method="vote")
        assert found.table.rows() == [("Ann", 1, date(2020, 1, 1)), ("Bob", 2, date(2020, 1, 1)),
                                      (None, None, None)]  # fmt: skip
        assert found.table.schema == FRAME.schema
        (conflict,) = found.conflicts.to_dicts()
        assert conflict == {
            "set": 0, "column": "n", "value": "1", "method": "vote",
            "confidence": pytest.approx(2 / 3), "rows": [0, 1], "candidates": ["1", "3"],
            "support": [2, 1], "writings": [],
        }  # fmt: skip
        said = found.cells.filter(pl.col("column") == "name")["rows"].to_list()
        assert said == [[0, 1, 3], [2], []]
        assert found.cells["method"].to_list().count("absent") == 3

    @pytest.mark.parametrize("method", RESOLVERS)
    @settings(max_examples=15)
    @given(
        st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["x", "y", "Z z", None])), min_size=1,
                 max_size=9)
    )  # fmt: skip
    def test_every_method_takes_what_some_row_of_the_set_says(self, method, rows):
        _, sets = np.unique([s for s, _ in rows], return_inverse=True)
        frame = pl.DataFrame({"v": pl.Series([v for _, v in rows], dtype=pl.String)})
        found = resolve(frame, sets, method=method)
        assert found.table.height == found.cells.height == sets.max() + 1
        for number, value in enumerate(found.table["v"].to_list()):
            own = [v for (_, v), s in zip(rows, sets, strict=True) if s == number]
            assert value in own if any(own) else value is None
        again = resolve(frame, sets, method=method)
        assert again.cells.equals(found.cells)

    def test_two_sources_are_not_weighed(self):
        found = resolve(FRAME, SETS, source=np.array([0, 1, 0, 1, 0]), method="accu")
        assert found.conflicts["method"].to_list() == ["vote"]

    def test_trusted_tables_have_their_say_in_their_own_words(self):
        frame = pl.DataFrame({"name": ["Bob", "bob", "Rob", "Bobby"], "age": [None, "3", "4", "4"]})
        names, sets = pl.Series(["a", "b", "c", "d"]), np.zeros(4, dtype=int)

        def told(*priority):
            rank = ranks(names, priority)
            found = resolve(frame, sets, source=np.arange(4), method="vote", rank=rank)
            return found.table.rows()[0], found.cells["method"].to_list(), found.open.to_list()

        assert told() == (("Bob", "4"), ["vote", "vote"], [True, True])
        assert told("c") == (("Rob", "4"), ["priority"] * 2, [False] * 2)
        assert told("b") == (("bob", "3"), ["priority"] * 2, [False] * 2)
        # What the first does not know the next tells, and without one the resolver.
        assert told("a", "b") == (("Bob", "3"), ["priority"] * 2, [False] * 2)
        assert told("a") == (("Bob", "4"), ["priority", "vote"], [False, True])
        with pytest.raises(UserError, match="no table 'e'; expected some of a, b, c, d"):
            ranks(names, ["e"])

    def test_two_rows_of_one_trusted_table_are_decided_between(self):
        frame = pl.DataFrame({"age": ["3", "4", "4", "5", "5", "5"]})
        names = pl.Series(["a", "a", "a", "b", "b", "b"])
        found = resolve(frame, np.zeros(6, dtype=int), method="vote", rank=ranks(names, ["a"]))
        assert (found.table["age"].item(), found.cells["method"].item()) == ("4", "vote")

    def test_ways_of_writing_are_told_and_others_are_conflicts(self):
        """The streets of simulated guides that were "agreed": they look like numbers with units."""
        streets = ["7 park st", "7 street park", "7 park street", "9 oak st", "9 oak street"]
        found = resolve(pl.DataFrame({"street": streets}), np.array([0, 0, 0, 1, 1]), method="vote")
        conflict, agreed = found.cells.drop("set", "column").to_dicts()
        assert conflict == {
            "value": "7 park street", "method": "vote", "confidence": pytest.approx(2 / 3),
            "rows": [0, 2], "candidates": ["7 park street", "7 street park"], "support": [2, 1],
            "writings": ["7 park street", "7 street park", "7 park st"],
        }  # fmt: skip
        assert agreed == {
            "value": "9 oak street", "method": "agreed", "confidence": 1.0, "rows": [3, 4],
            "candidates": ["9 oak street"], "support": [2],
            "writings": ["9 oak street", "9 oak st"],
        }  # fmt: skip

    def test_what_a_form_leaves_out_may_contradict(self):
        frame = pl.DataFrame(
            {
                "weight": ["12 kg", "12 lb", "12", "12.0 kg", "8", "8 kg"],
                "author": ["Lee, A.", "B. Lee", "A. Lee", "Lee", "Ann Poe", "Poe, Ann"],
            }
        )
        found = resolve(frame, np.array([0, 0, 0, 0, 1, 1]), method="vote")
        cells = found.cells.select("value", "method", "confidence", "rows", "support").rows()
        assert cells[0] == ("12.0 kg", "vote", 0.75, [0, 2, 3], [3, 1])
        assert cells[1] == ("8 kg", "agreed", 1.0, [4, 5], [2])
        assert cells[2] == ("Lee, A.", "vote", 0.75, [0, 2, 3], [3, 1])
        assert cells[3] == ("Poe, Ann", "agreed", 1.0, [4, 5], [2])

    def test_of_two_equals_a_slip_of_the_finger_stands_behind(self):
        pairs = [
            ("77 ihl road", "77 hill road"),  # a word of its own, nearly the other's
            ("5 elm road", "5 hill road"),  # words that other sets have
            ("quixley road", "smith road"),  # no slip, but another value
            ("9 elm road upstairs", "9 elm road"),  # a word more
        ]
        texts = [*(text for pair in pairs for text in pair), "3 hill road", "smith elm"]
        sets = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 5])
        found = resolve(pl.DataFrame({"x": texts}), sets, method="vote")
        assert found.table["x"].to_list()[:4] == [
            "77 hill road", "5 elm road", "quixley road", "9 elm road upstairs",
        ]  # fmt: skip
        assert found.cells["method"].to_list()[:4] == ["spelling", "vote", "vote", "vote"]
        assert found.cells.row(0, named=True) == {
            "set": 0, "column": "x", "value": "77 hill road", "method": "spelling",
            "confidence": 0.5, "rows": [1], "candidates": ["77 hill road", "77 ihl road"],
            "support": [1, 1], "writings": [],
        }  # fmt: skip

    def test_no_writing_of_a_guide_is_lost(self):
        """Who is named as a source writes the value; what is not in the value is told beside it."""
        tables, sets = simulate(200)
        frame = pl.concat(tables.values())
        source = np.repeat([0, 1, 2], [table.height for table in tables.values()])
        _, sets = np.unique(sets, return_inverse=True)
        found = resolve(frame, sets, source=source)
        agreed = 0
        for cell in found.cells.iter_rows(named=True):
            own = frame[cell["column"]].gather(np.flatnonzero(sets == cell["set"])).drop_nulls()
            assert set(own) == {*cell["candidates"], *cell["writings"]}
            sourced = frame[cell["column"]].gather(cell["rows"]).to_list()
            assert len({canonical(text, "text") for text in sourced}) == len(sourced[:1])
            if cell["method"] == "agreed":
                agreed += len(set(own)) > 1
                assert len(sourced) == len(own)
        assert agreed > 100

    def test_an_unknown_method(self):
        with pytest.raises(UserError, match="expected one of vote, truthfinder, crh, accu"):
            resolve(FRAME, SETS, method="oracle")


@pytest.mark.data
class TestReal:
    """The bars of the design page, on conflicts of the raw text."""

    def test_flights(self):
        folder = DATA / "raha" / "flights"
        if not folder.exists():
            pytest.skip("flights is not in ../shared/data/tables beside the repository")
        data = read_flights(folder)
        found = resolve(data.frame, data.sets, source=data.source)
        scores = [accuracy(data, found, c, exact=False) for c in data.frame.columns]
        total = sum(n for _, n in scores)
        assert total == 355
        assert sum(score * n for score, n in scores) / total >= 0.90

    def test_book_authors(self):
        folder = DATA / "recordfusion" / "book"
        if not folder.exists():
            pytest.skip("book is not in ../shared/data/tables beside the repository")
        data = read_book(folder)
        found = resolve(data.frame, data.sets, source=data.source)
        assert accuracy(data, found, "author_list", exact=False)[0] >= 0.88
