"""What goes with the losses: queues, teachers, mixtures, clusters, temperatures."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import nearfar
import nearfar.functional as F
from nearfar.cluster import balanced_kmeans, kmeans
from nearfar.ema import EMA
from nearfar.mixing import hard_mixtures, label_mixtures, mix_rows
from nearfar.nearest import nearest
from nearfar.pairs import other
from nearfar.queue import Queue
from nearfar.sinkhorn import sinkhorn
from nearfar.temperature import LearnedTemperature, ScheduledTemperature


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestQueue:
    @given(size=st.integers(1, 7), pushes=st.lists(st.integers(0, 9), max_size=5))
    def test_it_holds_the_newest_in_order(self, size, pushes):
        queue, pushed = Queue(size, 1), []
        for n in pushes:
            rows = torch.arange(len(pushed), len(pushed) + n)
            queue.push(rows[:, None].float(), rows * 2)
            pushed += rows.tolist()
        newest = pushed[-size:]
        assert queue.keys[:, 0].tolist() == newest
        assert queue.labels.tolist() == [2 * n for n in newest]
        assert len(queue) == len(newest)

    def test_it_travels_in_a_state_and_takes_no_gradient(self):
        queue = Queue(4, 2)
        queue.push(torch.ones(3, 2, requires_grad=True))
        assert not queue.keys.requires_grad
        assert queue.labels.tolist() == [-1, -1, -1]
        other = Queue(4, 2)
        other.load_state_dict(queue.state_dict())
        assert torch.equal(other.keys, queue.keys)

    def test_mistakes(self):
        with pytest.raises(ValueError, match=r"keys has shape \(3, 5\); expected \[N, 2\]"):
            Queue(4, 2).push(torch.ones(3, 5))
        with pytest.raises(ValueError, match=r"labels has shape \(2,\); expected \(3,\)"):
            Queue(4, 2).push(torch.ones(3, 2), torch.ones(2))


class TestEMA:
    def test_weights_follow_and_buffers_are_taken_over(self):
        student = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        teacher = EMA(student, momentum=0.75)
        before = copy.deepcopy(student)
        with torch.no_grad():
            student[0].weight += 1
            student[1].running_mean += 3
        teacher.update(student)
        assert torch.allclose(teacher.encoder[0].weight, before[0].weight + 0.25)
        assert torch.equal(teacher.encoder[1].running_mean, student[1].running_mean)
        teacher.update(student, momentum=0.0)
        assert torch.equal(teacher.encoder[0].weight, student[0].weight)
        assert not teacher(torch.ones(3, 2)).requires_grad

    def test_another_encoder_is_refused(self):
        with pytest.raises(ValueError, match="parameter bias is in one alone"):
            EMA(nn.Linear(2, 2)).update(nn.Linear(2, 2, bias=False))


class TestNearest:
    @given(n=st.integers(1, 9), m=st.integers(1, 9), side=st.integers(1, 9), data=st.data())
    def test_equals_sorting_all_scores(self, n, m, side, data):
        k = data.draw(st.integers(1, m))
        x, y = torch.randn(n, 3, generator=gen(n)), torch.randn(m, 3, generator=gen(m + 50))
        index, score = nearest(x, y, k, tile=side)
        top, at = (x @ y.T).sort(1, descending=True)
        assert torch.allclose(score, top[:, :k], atol=1e-5)
        assert torch.equal(index, at[:, :k])

    def test_only_pairs_that_are_admitted(self):
        x = torch.randn(8, 3, generator=gen())
        own = torch.arange(8)
        index, score = nearest(x, x, 7, pairs=other(own, own), tile=3)
        assert (index != own[:, None]).all()
        _, score = nearest(x, x, 8, pairs=other(own, own), tile=3)
        assert torch.isinf(score[:, 7]).all()
        assert torch.isfinite(score[:, :7]).all()

    def test_mistakes(self):
        with pytest.raises(ValueError, match="k is 4; expected 1 to 3"):
            nearest(torch.eye(3), torch.eye(3), 4)


class TestMixing:
    def test_mochi_mixes_the_hardest(self):
        g = gen(1)
        q = nn.functional.normalize(torch.randn(5, 4, generator=g), dim=1)
        n = nn.functional.normalize(torch.randn(40, 4, generator=g), dim=1)
        mixed = hard_mixtures(
            q, n, hardest=6, between_negatives=9, with_query=7, generator=g
        )  # fmt: skip
        assert mixed.shape == (5, 16, 4)
        assert torch.allclose(mixed.norm(dim=2), torch.ones(5, 16))
        s = (mixed * q[:, None]).sum(2)
        # Mixtures with the query are nearer to it than those of its nearest negatives.
        assert s[:, 9:].mean() > s[:, :9].mean()
        assert (s[:, :9].mean(1) > (q @ n.T).mean(1)).all()

    @given(n=st.integers(1, 12), chance=st.floats(0, 1), seed=st.integers(0, 50))
    def test_targets_name_what_was_mixed(self, n, chance, seed):
        rows = torch.randn(n, 2, 3, generator=gen(seed))
        mixed, targets = mix_rows(rows, chance=chance, generator=gen(seed))
        flat = rows.flatten(1)
        assert torch.allclose(targets.sums(flat), mixed.flatten(1), atol=1e-5)
        assert torch.allclose(targets.weight.sum(1), torch.ones(n))
        if n > 1:
            assert (targets.index[:, 0] != targets.index[:, 1]).all()
        again, _ = mix_rows(rows, chance=chance, generator=gen(seed))
        assert torch.equal(mixed, again)

    def test_of_a_majority_the_own_share_is_the_larger(self):
        _, targets = mix_rows(
            torch.randn(50, 2), alpha=1.0, chance=1.0, majority=True, generator=gen()
        )
        assert (targets.weight[:, 0] >= 0.5).all()
        assert (targets.weight[:, 0] < 1).all()

    def test_mixtures_of_labels_lie_where_their_label_says(self):
        labels = torch.linspace(0, 10, 21)
        rows = torch.stack([labels, labels.square()], 1)  # the first column is the label
        mixed, own = label_mixtures(rows, labels, generator=gen())
        assert torch.allclose(mixed[:, 0], own, atol=1e-4)
        positives = own[21:]
        assert len(positives) == 19  # the lowest and highest have no pair around them
        assert torch.allclose(positives, labels[1:-1], atol=1e-5)
        loss = F.sup_remix(rows, labels, reference=mixed[21:], reference_labels=labels[1:-1])
        assert torch.isfinite(loss)

    def test_labels_all_alike_give_no_mixture(self):
        mixed, own = label_mixtures(torch.eye(4), torch.ones(4), generator=gen())
        assert mixed.shape == (0, 4)
        assert own.shape == (0,)


class TestClusters:
    def blobs(self, sizes=(30, 20, 10), seed=0):
        g = gen(seed)
        centres = torch.tensor([[0.0, 8], [8, 0], [8, 8]])
        truth = torch.repeat_interleave(torch.arange(3), torch.tensor(sizes))
        return centres[truth] + torch.randn(len(truth), 2, generator=g), truth

    @pytest.mark.parametrize("spherical", [False, True])
    def test_blobs_are_found(self, spherical):
        rows, truth = self.blobs()
        _, found = kmeans(rows, 3, spherical=spherical, generator=gen(3))
        purity = sum(torch.bincount(found[truth == t]).max() for t in range(3)) / len(rows)
        assert purity > 0.97

    def test_no_worse_than_scikit_learn(self):
        KMeans = pytest.importorskip("sklearn.cluster").KMeans

        rows = torch.randn(300, 5, generator=gen(2))
        centres, found = kmeans(rows, 8, generator=gen(1), iterations=100)
        inertia = (rows - centres[found]).square().sum()
        theirs = KMeans(8, n_init=1, random_state=0).fit(rows.numpy()).inertia_
        assert inertia < 1.1 * theirs

    @pytest.mark.parametrize(("n", "clusters"), [(60, 7), (9, 9), (10, 1), (5, 3)])
    def test_balanced_clusters_differ_by_one_at_most(self, n, clusters):
        rows = torch.randn(n, 3, generator=gen(n))
        _, found = balanced_kmeans(rows, clusters, generator=gen(1))
        size = torch.bincount(found, minlength=clusters)
        assert size.max() - size.min() <= 1
        assert size.sum() == n

    def test_balance_splits_the_large_blob(self):
        rows, truth = self.blobs((40, 10, 10))
        _, found = balanced_kmeans(rows, 3, generator=gen(1))
        assert torch.bincount(found).tolist() == [20, 20, 20]
        assert len(found[truth == 1].unique()) == 1

    def test_equal_rows_and_mistakes(self):
        centres, found = kmeans(torch.ones(4, 2), 3, generator=gen())
        assert torch.isfinite(centres).all()
        assert found.shape == (4,)
        with pytest.raises(ValueError, match="clusters 5; expected"):
            kmeans(torch.ones(4, 2), 5)


class TestSinkhorn:
    def test_shares_are_equal_and_rows_sum_to_one(self):
        q = sinkhorn(torch.randn(40, 5, generator=gen()), epsilon=0.5, iterations=50)
        assert torch.allclose(q.sum(1), torch.ones(40), atol=1e-5)
        assert torch.allclose(q.sum(0), torch.full((5,), 8.0), atol=1e-3)

    def test_large_scores_over_a_small_epsilon(self):
        assert torch.isfinite(
            sinkhorn(1e4 * torch.randn(6, 3, generator=gen()), epsilon=1e-3)
        ).all()


class TestTemperature:
    def test_it_is_learned_and_comes_back_from_a_bound(self):
        loss = nearfar.NTXent(temperature=LearnedTemperature(0.02, lowest=0.02))
        a = torch.randn(8, 4, generator=gen())
        optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
        for _ in range(20):
            optimizer.zero_grad()
            loss(a, torch.randn(8, 4, generator=gen(1))).backward()
            optimizer.step()
        t = float(loss.temperature().detach())
        assert 0.02 < t <= 1.0

    def test_a_step_over_the_bound_is_brought_back(self):
        t = LearnedTemperature(0.1, highest=0.5)
        with torch.no_grad():
            t.log.fill_(9.0)
        assert float(t().detach()) == pytest.approx(0.5)

    def test_a_schedule_swings(self):
        t, seen = ScheduledTemperature(0.1, 1.0, period=4), []
        for _ in range(5):
            seen.append(round(float(t()), 6))
            t.step()
        assert seen == [1.0, 0.55, 0.1, 0.55, 1.0]
        assert "done" in t.state_dict()
