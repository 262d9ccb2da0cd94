"""Cells, similarities, perturbations, the matcher, its adversary, and the line without labels."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from nearfar_kit.checkpoint import save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_tables.adversarial import adversarial
from nearfar_tables.benchmarks import SETS, read_pairs
from nearfar_tables.blocking import block
from nearfar_tables.calibration import fit_mixture, rivals, uncontested
from nearfar_tables.cells import Cells, day_of, normal_text, number_of
from nearfar_tables.embeddings import embed_values
from nearfar_tables.lexicon import KEYBOARD, synonyms
from nearfar_tables.matcher import Matcher, PairBatch
from nearfar_tables.matching import learn, match
from nearfar_tables.pair_model import PairModel
from nearfar_tables.perturb import OPERATIONS, perturbed
from nearfar_tables.pretrain import pretrain
from nearfar_tables.settings import TablesSettings
from nearfar_tables.similarity import ATTRIBUTE, RECORD, Similarity
from nearfar_tables.simulate import simulate

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "tables" / "ditto" / "er_magellan"


class TestCells:
    @pytest.mark.parametrize(
        ("text", "number"),
        [("7.40 %", 7.4), ("$ 1,299.00", 1299), ("-5", -5), ("12 oz", 12), (".5", 0.5)],
    )
    def test_numbers(self, text, number):
        assert number_of(text) == number

    @pytest.mark.parametrize("text", ["", "a1", "1-2", "818/585 -0855", "12 main street 7"])
    def test_no_numbers(self, text):
        assert np.isnan(number_of(text))

    @pytest.mark.parametrize("text", ["17-apr-09", "april 17 , 2009", "2009-04-17", "4/17/2009"])
    def test_days(self, text):
        assert day_of(text) == date(2009, 4, 17).toordinal()

    @pytest.mark.parametrize("text", ["", "hello", "may the force be with you", "99/99/99", "7"])
    def test_no_days(self, text):
        assert np.isnan(day_of(text))

    def test_a_value_is_kept_once(self):
        cells = Cells.of(pl.DataFrame({"a": ["X", " x ", None], "b": ["`x '", "", "y"]}))
        assert cells.values == ("x", "y")
        assert cells.codes.tolist() == [[0, 0], [0, -1], [-1, 1]]
        assert cells.texts(1) == ["x", None, "y"]

    def test_a_value_has_one_vector_in_any_table(self):
        a = Cells.of(pl.DataFrame({"a": ["left", "both"]}))
        b = Cells.of(pl.DataFrame({"a": ["both", "right"]}))
        np.testing.assert_array_equal(embed_values(a, 16)[1], embed_values(b, 16)[0])

    def test_embeddings_keep_typos_near(self):
        cells = Cells.of(pl.DataFrame({"a": ["United States", "United Stakes", "France"]}))
        states, typo, france = embed_values(cells, 256)
        assert states @ typo > 0.5 > states @ france + 0.2


class TestSimilarity:
    FRAME = pl.DataFrame(
        {
            "name": ["Sony TV kd55", "sony tv KD55", "Bosch drill", None],
            "price": ["$ 100", "110", "$ 5", "7"],
            "since": ["2020-01-01", "2 jan 2020", "2020-06-01", "x"],
        }
    )

    def features(self, pairs):
        cells = Cells.of(self.FRAME)
        return Similarity(cells).features(cells, np.array(pairs))

    def test_what_can_be_had(self):
        found = self.features([(0, 1), (0, 2), (0, 3)])
        assert found.attribute.shape == (3, 3, len(ATTRIBUTE))
        assert found.record.shape == (3, len(RECORD))
        name = found.attribute[:, 0]
        np.testing.assert_allclose(name[0, :4], 1, atol=1e-6)
        assert (name[1, :3] < 0.3).all()
        assert np.isnan(name[2]).all()
        assert found.attribute[0, 1, 4] == pytest.approx(1 - 10 / 110)
        assert found.attribute[0, 2, 5] == pytest.approx(1 - 1 / 365)
        assert np.isnan(found.attribute[2, 2, 5])

    def test_symmetric_and_within_0_and_1(self):
        there, back = (
            self.features([(0, 1), (1, 2), (2, 3)]),
            self.features([(1, 0), (2, 1), (3, 2)]),
        )
        np.testing.assert_array_equal(there.attribute, back.attribute)
        np.testing.assert_allclose(there.record, back.record, atol=1e-6)
        for values in (there.attribute, there.record):
            assert np.nanmin(values) >= 0
            assert np.nanmax(values) <= 1 + 1e-6

    def test_words_cosine_is_scikit_learns(self):
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = ["a b b c", "b c d", "c d e e e", "f"]
        cells = Cells.of(pl.DataFrame({"t": texts}))
        pairs = np.array([(0, 1), (1, 2), (0, 2), (2, 3)])
        x = TfidfVectorizer(sublinear_tf=True, token_pattern=r"[^\W_]+").fit_transform(texts)
        wanted = (x @ x.T).toarray()[pairs[:, 0], pairs[:, 1]]
        found = Similarity(cells).features(cells, pairs)
        np.testing.assert_allclose(found.attribute[:, 0, 0], wanted, atol=1e-6)


class TestPerturb:
    ROW = ("new york street cafe", "12.50", None, "x")

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_each_operation_changes_rows_and_is_repeatable(self, operation):
        made = [
            perturbed(self.ROW, np.random.default_rng(seed), synonyms(), [operation])
            for seed in range(40)
        ]
        again = perturbed(self.ROW, np.random.default_rng(3), synonyms(), [operation])
        assert made[3] == again
        changed = [row for row in made if tuple(row) != self.ROW]
        assert len(changed) >= 8
        assert all(sum(a != b for a, b in zip(row, self.ROW, strict=True)) == 1 for row in changed)
        assert all(row[2] is None for row in made)

    @given(st.integers(0, 10**6), st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,2})?", fullmatch=True))
    def test_a_number_stays_a_number_of_its_length(self, seed, number):
        (new,) = perturbed([number], np.random.default_rng(seed), {}, ["mistype"])
        assert new is not None
        assert len(new) == len(number)
        assert [c for c in new if not c.isdigit()] == [c for c in number if not c.isdigit()]
        float(new)

    @given(st.lists(st.one_of(st.none(), st.text(min_size=1, max_size=9)), max_size=4),
           st.integers(0, 999))  # fmt: skip
    def test_any_row(self, row, seed):
        cells = [None if v is None or not normal_text(v) else normal_text(v) for v in row]
        new = perturbed(cells, np.random.default_rng(seed), synonyms(), times=3)
        assert len(new) == len(cells)
        assert any(new) == any(cells)

    def test_keys_lie_beside_each_other(self):
        assert set(KEYBOARD["s"]) == set("adwezx")
        assert all(key in KEYBOARD[near] for key, own in KEYBOARD.items() for near in own)

    def test_a_users_synonyms(self):
        table = synonyms({"street": ["strasse"]})
        assert table["street"] == ["strasse", "st"]
        assert "street" in synonyms()["st"]
        assert "saint" in synonyms()["st"]


def batch(b=5, m=3, d=4, f=6, g=5, seed=0):
    at = torch.Generator().manual_seed(seed)
    present = torch.rand(2, b, m, generator=at) > 0.3
    present[:, 0] = False
    return PairBatch(
        torch.randn(b, m, d, generator=at), torch.randn(b, m, d, generator=at), *present,
        torch.rand(b, m, f, generator=at), torch.rand(b, g, generator=at),
    )  # fmt: skip


class TestMatcher:
    @pytest.fixture
    def matcher(self):
        torch.manual_seed(0)
        model = Matcher(3, 6, 5, 4, width=8).eval()
        torch.nn.init.normal_(model.answer.weight)
        return model

    def test_symmetric(self, matcher):
        pairs = batch()
        torch.testing.assert_close(matcher(pairs), matcher(pairs.swapped()))

    def test_what_is_absent_says_nothing(self, matcher):
        pairs = batch()
        left = torch.where(pairs.left_present[..., None], pairs.left, 1e3)
        changed = PairBatch(left, pairs.right, pairs.left_present, pairs.right_present,
                            pairs.attribute, pairs.record)  # fmt: skip
        torch.testing.assert_close(matcher(pairs), matcher(changed))
        assert torch.isfinite(matcher(pairs)).all()  # the first pair has no cell at all

    def test_every_present_cell_is_heard(self, matcher):
        pairs = batch()
        pairs.left.requires_grad_()
        matcher(pairs).sum().backward()
        heard = pairs.left.grad.abs().sum(-1) > 0
        assert torch.equal(heard, pairs.left_present)

    def test_one_seed_one_matcher(self):
        frame = pl.DataFrame({"a": [f"name {n} of town" for n in range(30)], "b": list(range(30))})
        settings = TablesSettings(epochs=2, batch=32)
        cells, pairs = Cells.of(frame), np.array([(0, 1), (2, 3)])
        one, two, other = (pretrain(cells, pairs, settings, seed) for seed in (0, 0, 1))
        for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
            assert a.numel() == 1 or not torch.equal(a, c)

    def test_it_tells_copies_from_other_rows(self):
        rng = np.random.default_rng(0)
        syllables = ["ba", "ko", "ri", "tu", "me", "sa", "lo"]
        names = ["".join(rng.choice(syllables, 4)) + " " + "".join(rng.choice(syllables, 3))
                 for _ in range(80)]  # fmt: skip
        copies = [perturbed([name], rng, {}, ["mistype"])[0] for name in names]
        frame = pl.DataFrame({"name": names + copies})
        pairs = np.array([(n, 80 + (n + shift) % 80) for n in range(80) for shift in (0, 7, 20)])
        source = np.repeat([0, 1], 80)
        found = match(frame, pairs, source=source, settings=TablesSettings(epochs=2, batch=64))
        truth = np.arange(len(pairs)) % 3 == 0
        assert f1_score(truth, found.match) > 0.97


class TestAdversarial:
    @pytest.mark.parametrize("steps", [1, 3])
    def test_it_raises_the_loss_within_the_ball(self, steps):
        torch.manual_seed(0)
        weight = torch.randn(3, 4, dtype=torch.float64)
        e = torch.randn(6, 3, 4, dtype=torch.float64)

        def loss(x):
            return torch.nn.functional.softplus((x * weight).sum((1, 2))).sum()

        moved = adversarial(e, loss, epsilon=0.1, steps=steps)
        assert not moved.requires_grad
        norm = e.flatten(1).norm(dim=1)
        torch.testing.assert_close((moved - e).flatten(1).norm(dim=1), 0.1 * norm)
        # The loss rises with <x, weight>: the hardest point is along the weight itself.
        best = e + 0.1 * norm[:, None, None] * weight / weight.norm()
        torch.testing.assert_close(moved, best)
        back = e - (moved - e)
        assert loss(moved) > loss(e) > loss(back)

    def test_random_steps_raise_it_less(self):
        torch.manual_seed(0)
        torch.manual_seed(1)
        e, w = torch.randn(4, 2, 3), torch.randn(4, 2, 3)

        def loss(x):
            return ((x * w).sum((1, 2)) ** 2).sum()

        moved = adversarial(e, loss, epsilon=0.2)
        for _ in range(20):
            step = torch.randn_like(e)
            step = step / step.flatten(1).norm(dim=1)[:, None, None]
            other = e + 0.2 * e.flatten(1).norm(dim=1)[:, None, None] * step
            assert loss(moved) > loss(other)


def match_probability(scores, open_):
    mixture = fit_mixture(scores, open_)
    return (
        np.zeros(len(scores)) if mixture is None else np.where(open_, mixture.posterior(scores), 0)
    )


class TestCalibration:
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(4, 8), st.integers(0, 5)), min_size=1,
                    max_size=12, unique_by=lambda p: p[:2]))  # fmt: skip
    def test_rivals_against_a_loop(self, rows):
        pairs = np.array([p[:2] for p in rows])
        scores = np.array([float(p[2]) for p in rows])
        source = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
        wanted = []
        for i, (a, b) in enumerate(pairs):
            others = [
                scores[j]
                for j, (c, d) in enumerate(pairs)
                if j != i and ((c == a and source[d] == source[b]) or d == b)
            ]
            wanted.append(max(others, default=-np.inf))
        np.testing.assert_array_equal(rivals(pairs, scores, source), wanted)

    def test_one_source_contests_nothing(self):
        pairs, scores = np.array([(0, 1), (0, 2)]), np.array([2.0, 1.0])
        assert uncontested(pairs, scores, np.zeros(3, dtype=int), 0.0).all()
        assert uncontested(pairs, scores, np.array([0, 1, 1]), 0.0).tolist() == [True, False]
        assert uncontested(pairs, scores, np.array([0, 1, 1]), 1.5).all()

    def test_two_normals_are_found(self):
        rng = np.random.default_rng(0)
        truth = rng.random(4000) < 0.1
        scores = np.where(truth, rng.normal(3, 1, 4000), rng.normal(-2, 1, 4000))
        open_ = np.ones(4000, dtype=bool)
        found = match_probability(scores, open_)
        assert f1_score(truth, found > 0.5) > 0.97
        assert found.mean() == pytest.approx(0.1, abs=0.02)
        moved = match_probability(scores * 7 + 100, open_)
        np.testing.assert_allclose(found, moved, atol=1e-3)

    def test_what_is_contested_never_matches(self):
        scores = np.r_[np.zeros(50), np.full(10, 5.0)] + np.linspace(0, 0.1, 60)
        open_ = np.arange(60) % 2 == 0
        found = match_probability(scores, open_)
        assert (found[~open_] == 0).all()
        assert (found[50::2] > 0.9).all()

    @pytest.mark.parametrize("scores", [np.zeros(5), np.ones(1), np.zeros(0)])
    def test_nothing_to_tell_apart(self, scores):
        assert (match_probability(scores, np.ones(len(scores), dtype=bool)) == 0).all()


@pytest.fixture(scope="module")
def restaurants():
    """Simulated guides as one frame, the candidate pairs, and each row's guide."""
    tables, _ = simulate(60, seed=3)
    source = np.repeat(np.arange(len(tables)), [table.height for table in tables.values()])
    frame = pl.concat(tables.values())
    return frame, block(frame, source=source), source


class TestPairModel:
    """What is kept gives the scores that were found, also when read from a file, and on other
    rows of the same columns."""

    @pytest.mark.parametrize("calibration", ["adapted", "mixture", "fixed"])
    @pytest.mark.parametrize("epochs", [0, 2])
    def test_the_same_scores(self, restaurants, tmp_path, calibration, epochs):
        frame, pairs, source = restaurants
        chosen = load_settings(
            TablesSettings, overrides=[f"calibration={calibration}", f"epochs={epochs}"]
        )
        model, found = learn(frame, pairs, source=source, settings=chosen)
        model.save(tmp_path / "model.safetensors")
        again = PairModel.load(tmp_path / "model.safetensors")
        for own in (model, again):
            np.testing.assert_allclose(own.score(frame, pairs), found.score, rtol=1e-5, atol=1e-6)
            probability = own.probability(found.score)
            best = found.probability > 0  # elsewhere a better partner speaks against it
            np.testing.assert_allclose(probability[best], found.probability[best], atol=1e-6)
        turned = frame[::-1].select(reversed(frame.columns))
        moved = again.score(turned, frame.height - 1 - pairs)
        np.testing.assert_allclose(moved, found.score, rtol=1e-4, atol=1e-5)

    def test_refusals(self, restaurants, tmp_path):
        frame, pairs, source = restaurants
        chosen = load_settings(TablesSettings, overrides=["epochs=0"])
        model, _ = learn(frame, pairs, source=source, settings=chosen)
        with pytest.raises(UserError, match="no column 'town'; expected name, street, town"):
            model.score(frame.drop("town"), pairs)
        assert model.score(frame, pairs[:0]).shape == (0,)
        save_checkpoint(tmp_path / "x.safetensors", {"format": 1})
        with pytest.raises(UserError, match="is of format 1; expected 'nearfar-tables pairs 2'"):
            PairModel.load(tmp_path / "x.safetensors")


class TestMatch:
    FRAME = pl.DataFrame({"a": ["x one", "y two", "x one", "z three"], "b": [1, 2, 1, None]})

    def test_known_labels_stand(self):
        pairs = np.array([(0, 2), (1, 3), (0, 3), (1, 2)])
        settings = TablesSettings(epochs=0)
        found = match(self.FRAME, pairs, labels=np.array([0, 1, -1, -1]), settings=settings)
        assert found.match[:2].tolist() == [False, True]

    def test_refusals_and_nothing(self):
        with pytest.raises(UserError, match="expected 0 to 3"):
            match(self.FRAME, np.array([(0, 4)]))
        with pytest.raises(UserError, match="no column"):
            match(pl.DataFrame(), np.zeros((0, 2), dtype=int))
        assert len(match(self.FRAME, np.zeros((0, 2), dtype=int)).match) == 0


class TestPairs:
    def test_the_layout(self, tmp_path):
        line = "COL a VAL x y COL b VAL \tCOL a VAL z COL b VAL 3\t1\n"
        for name in ("train", "valid", "test"):
            (tmp_path / f"{name}.txt").write_text(line)
        found = read_pairs(tmp_path)
        assert found.frame.rows() == [("x y", None), ("z", "3")]
        assert found.pairs.tolist() == [[0, 1]] * 3
        assert found.source.tolist() == [0, 1]
        assert found.label.all()
        assert found.split.tolist() == [0, 1, 2]
        (tmp_path / "valid.txt").write_text(line + "COL a VAL x\t1\n")
        with pytest.raises(UserError, match=r"valid\.txt, line 2: is no pair"):
            read_pairs(tmp_path)

    @pytest.mark.data
    def test_fodors_zagats_without_labels(self):
        folder = REAL / SETS["fodors-zagats"]
        if not folder.exists():
            pytest.skip("er_magellan is not in ../shared/data/tables beside the repository")
        found = read_pairs(folder).without("class")  # the truth's own number of each restaurant
        result = match(found.frame, found.pairs, source=found.source,
                       settings=TablesSettings(epochs=0))  # fmt: skip
        part = found.split < 2
        assert f1_score(found.label[part], result.match[part]) > 0.94
