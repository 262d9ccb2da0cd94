"""Ranks, best items and measures, against the plain definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar_seqrec.baselines import ItemKNN, Popular, most_similar
from nearfar_seqrec.evaluate import coverage, evaluate, measures, popularity
from nearfar_seqrec.ranking import best_items, ranks_and_best
from nearfar_seqrec.scoring import ModelScorer, Scored
from nearfar_seqrec.sequences import sequences_of
from nearfar_seqrec.split import leave_one_out


class Table:
    """Scores [N, I + 1] as given; history n is the row [n + 1]."""

    def __init__(self, scores):
        self.scores = torch.as_tensor(scores)
        self.items = self.scores.shape[1] - 1

    def __call__(self, histories):
        rows = self.scores[histories[:, 0] - 1]
        return Scored(lambda i: rows[:, i], lambda t: rows.gather(1, t[:, None])[:, 0])


def by_definition(scores, target, k, seen):
    """Item numbers in order, by Python's sort."""
    left = [i for i in range(1, len(scores)) if i not in seen or i == target]
    order = sorted(left, key=lambda i: (-np.float32(scores[i]), i))
    listed = [i for i in order if i not in seen][:k]
    return order.index(target) + 1, listed + [0] * (k - len(listed))


@settings(max_examples=60)
@given(
    n=st.integers(1, 9), items=st.integers(1, 30), kinds=st.integers(1, 40),
    seed=st.integers(0, 99),
    k=st.integers(1, 12), batch=st.integers(1, 10), part=st.integers(1, 31), mask=st.booleans(),
)  # fmt: skip
def test_ranks_and_best_are_those_of_a_sort(n, items, kinds, seed, k, batch, part, mask):
    chance = np.random.default_rng(seed)
    scores = chance.integers(-kinds, kinds + 1, (n, items + 1)) / 7  # many are alike
    target = chance.integers(1, items + 1, n)
    seen = chance.integers(0, items + 1, (n, 4)) if mask else None
    histories = np.arange(1, n + 1)[:, None]
    ranks, best, values = ranks_and_best(
        Table(scores), histories, target, k, seen=seen, batch=batch, part=part
    )
    for row in range(n):
        left_out = set() if seen is None else set(seen[row].tolist())
        rank, listed = by_definition(scores[row], int(target[row]), k, left_out)
        assert ranks[row] == rank
        assert best[row].tolist() == listed
        want = [np.float32(scores[row, i]) if i else -math.inf for i in listed]
        assert values[row].tolist() == want


def test_extreme_scores_keep_their_order():
    scores = [[0.0, -math.inf, -1e38, -1e-40, -0.0, 0.0, 1e-40, 1e38, math.inf]]
    best, values = best_items(Table(scores), np.ones((1, 1), dtype=np.int64), 8)
    assert best[0].tolist() == [8, 7, 6, 4, 5, 3, 2, 1]  # minus zero is zero: the lower number
    assert values[0, 0] == math.inf


@pytest.fixture(scope="module")
def split():
    chance = np.random.default_rng(0)
    rows = [(f"u{n}", [f"i{i}" for i in chance.integers(0, 60, 14)]) for n in range(50)]
    return leave_one_out(sequences_of(rows))


def test_neither_batch_nor_part_shows_in_a_models_ranks(split, tiny_model):
    model = tiny_model(split, longest=9)
    with torch.no_grad():  # items that score alike to the last bit
        model.item_embedding.weight[20:40] = model.item_embedding.weight[19]
    histories, targets = split.histories(split.test, 30), split.targets(split.test)
    found = [
        ranks_and_best(ModelScorer(model), histories, targets, 10, batch=batch, part=part)
        for batch, part in ((256, 8192), (1, 7), (7, 60), (50, 1))
    ]
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert np.array_equal(a, b)


def test_longer_histories_are_cut_to_their_end(split, tiny_model):
    scorer = ModelScorer(tiny_model(split, longest=4))
    long = torch.tensor([[1, 2, 3, 4, 5, 6, 0], [9, 8, 0, 0, 0, 0, 0]])
    short = torch.tensor([[3, 4, 5, 6], [9, 8, 0, 0]])
    assert torch.allclose(scorer.states(long), scorer.states(short), rtol=0, atol=1e-12)


class TestMeasures:
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=20))
    def test_by_definition(self, ranks):
        found = measures(np.array(ranks))
        for k in (5, 10, 20):
            hits = [r for r in ranks if r <= k]
            assert found[f"hit@{k}"] == pytest.approx(len(hits) / len(ranks))
            gain = sum(1 / math.log2(r + 1) for r in hits)
            assert found[f"ndcg@{k}"] == pytest.approx(gain / len(ranks))
        assert found["mrr"] == pytest.approx(sum(1 / r for r in ranks) / len(ranks))

    def test_coverage_and_popularity(self):
        best = np.array([[1, 2], [2, 0]])
        assert coverage(best, 8) == 2 / 8
        counts = np.array([0, 3, 6, 1])
        assert popularity(best, np.array([3, 1]), counts) == pytest.approx(5 / 2)

    def test_agrees_with_recboles_own(self):
        from nearfar_seqrec.compat import ensure_recbole

        ensure_recbole()
        from recbole.evaluator.metrics import MRR, NDCG, Hit

        ranks = np.array([1, 2, 7, 30, 10])
        hits = np.arange(1, 21)[None] == ranks[:, None]  # n x 20
        config = {"topk": [5, 10, 20], "metric_decimal_place": 12}
        length = np.ones(len(ranks), dtype=np.int64)
        found = measures(ranks)
        for name, metric in (("hit", Hit), ("ndcg", NDCG)):
            theirs = (
                metric(config).metric_info(hits, length)
                if name == "ndcg"
                else metric(config).metric_info(hits)
            )
            for k in (5, 10, 20):
                assert found[f"{name}@{k}"] == pytest.approx(theirs.mean(0)[k - 1])
        short = measures(ranks[ranks <= 20])["mrr"] * (ranks <= 20).mean()
        assert short == pytest.approx(MRR(config).metric_info(hits).mean(0)[19])


class TestBaselines:
    def test_popular(self):
        split = leave_one_out(sequences_of([("a", "xxyz!?"), ("b", "xyy??")]))
        best, _ = best_items(Popular(split), np.array([[1]]), 3)
        assert split.sequences.names(best[0]) == ["x", "y", "z"]

    def test_item_knn_is_the_cosine_of_users(self):
        rows = [("a", "xy??"), ("b", "xyz??"), ("c", "xz??"), ("d", "w??")]
        split = leave_one_out(sequences_of(rows))
        number = {name: n for n, name in enumerate(split.sequences.items, 1)}
        scored = ItemKNN(split)(torch.tensor([[number["x"], number["x"], number["y"]]]))
        scores = scored.part(slice(0, 6))[0]
        xz, yz, xy = 2 / math.sqrt(3 * 2), 1 / 2, 2 / math.sqrt(3 * 2)
        assert scores[number["z"]] == pytest.approx(xz + yz)
        assert scores[number["x"]] == pytest.approx(xy)
        assert scores[number["w"]] == 0
        assert scored.own(torch.tensor([number["z"]]))[0] == pytest.approx(xz + yz)

    def test_item_knn_keeps_the_nearest(self):
        rows = [("a", "xy??"), ("b", "xyz??"), ("c", "xz??"), ("d", "xy??")]
        split = leave_one_out(sequences_of(rows))
        number = {name: n for n, name in enumerate(split.sequences.items, 1)}
        scores = ItemKNN(split, neighbours=1)(torch.tensor([[number["x"]]])).part(slice(0, 5))[0]
        assert (scores > 0).sum() == 1
        assert scores[number["y"]] > 0

    def test_most_similar_is_itself_where_there_is_none(self):
        split = leave_one_out(sequences_of([("a", "xy??"), ("b", "w??")]))
        number = {name: n for n, name in enumerate(split.sequences.items, 1)}
        similar = most_similar(split)
        assert similar[number["x"]] == number["y"]
        assert similar[number["w"]] == number["w"]
        assert similar[0] == 0


def test_seen_items_are_passed_over_but_not_the_target():
    rows = [("a", "xyzxyx"), ("b", "yyxyzw"), ("c", "xzzyxz")]
    split = leave_one_out(sequences_of(rows))
    plain = evaluate(Popular(split), split, split.test, longest=50)
    masked = evaluate(Popular(split), split, split.test, longest=50, mask_seen=True)
    assert masked["mrr"] > plain["mrr"]
    assert masked["hit@5"] == 1
