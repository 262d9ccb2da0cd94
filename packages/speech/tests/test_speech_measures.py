"""Scores by hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar_speech.measures import TaskAccuracy, edits, slu_f1, word_error_rate

NAN = float("nan")
THREE = TaskAccuracy(
    np.array([[0.9, NAN, NAN], [0.5, 0.8, NAN], [0.6, 0.4, 1.0]]), np.array([10, 20, 10])
)


def test_accuracy_over_classes_seen_counts_clips():
    seen = [0.9, (0.5 * 10 + 0.8 * 20) / 30, (0.6 * 10 + 0.4 * 20 + 1.0 * 10) / 40]
    np.testing.assert_allclose(THREE.seen, seen)
    assert THREE.average == pytest.approx(sum(seen) / 3)
    assert THREE.last == pytest.approx(0.6)


def test_forgetting_is_from_the_best_and_transfer_from_its_own():
    grown = TaskAccuracy(
        np.array([[0.5, NAN, NAN], [0.9, 0.8, NAN], [0.6, 0.7, 1.0]]), np.array([1, 1, 1])
    )
    assert grown.forgetting == pytest.approx(((0.9 - 0.6) + (0.8 - 0.7)) / 2)
    assert grown.backward_transfer == pytest.approx(((0.6 - 0.5) + (0.7 - 0.8)) / 2)
    assert THREE.forgetting == pytest.approx(-THREE.backward_transfer)
    better = TaskAccuracy(np.array([[0.5, NAN], [0.7, 1.0]]), np.array([1, 1]))
    assert better.forgetting == pytest.approx(-0.2)  # the last row is no candidate for the best


def test_one_task_forgets_nothing_that_can_be_told():
    one = TaskAccuracy(np.array([[0.7]]), np.array([4]))
    assert (one.average, one.last) == (0.7, 0.7)
    assert np.isnan(one.forgetting)
    assert np.isnan(one.backward_transfer)


def test_a_task_without_test_clips_is_left_out():
    gap = TaskAccuracy(
        np.array([[0.8, NAN, NAN], [0.6, NAN, NAN], [0.4, NAN, 1.0]]), np.array([10, 0, 30])
    )
    np.testing.assert_allclose(gap.seen, [0.8, 0.6, (0.4 * 10 + 30) / 40])
    assert gap.forgetting == pytest.approx(0.4)
    told = np.where(np.isnan(gap.accuracy), 0.0, gap.accuracy)  # numbers over no clips
    assert TaskAccuracy(told, gap.counts).forgetting == pytest.approx(0.4)
    assert TaskAccuracy(told, gap.counts).backward_transfer == pytest.approx(-0.4)
    first = TaskAccuracy(np.array([[NAN, NAN], [NAN, 0.5]]), np.array([0, 2]))
    assert np.isnan(first.seen[0])
    assert first.average == 0.5
    assert np.isnan(first.forgetting)


def test_from_answers():
    right, wrong = True, False
    answers = [
        [np.array([right, right]), np.array([], bool)],
        [np.array([right, wrong]), np.array([right, right, right, wrong])],
    ]
    scores = TaskAccuracy.of_answers(answers)
    np.testing.assert_allclose(scores.accuracy, [[1, NAN], [0.5, 0.75]])
    assert scores.counts.tolist() == [2, 4]
    assert scores.last == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("accuracy", "counts", "message"),
    [
        (np.zeros((2, 1)), [1, 1], r"accuracy is \(2, 1\); expected \[2, 2\]"),
        (np.zeros((0, 0)), [], "expected"),
        (np.full((2, 2), NAN), [1, 1], "not within 0 to 1"),
        (np.full((1, 1), 50.0), [1], "not within 0 to 1"),
        (np.zeros((1, 1)), [-1], "below 0"),
    ],
)
def test_what_is_no_accuracy(accuracy, counts, message):
    with pytest.raises(ValueError, match=message):
        TaskAccuracy(accuracy, np.array(counts))


def test_edits():
    assert edits("kitten", "sitting") == 3
    assert edits(["a", "b"], []) == 2
    assert edits([], ["a"]) == 1
    assert edits([], []) == 0
    assert edits(["turn", "it", "on"], ["turn", "on"]) == 1


def test_word_error_rate_is_over_all_words():
    references = ["turn the light on", "stop", ""]
    hypotheses = ["turn light on please", "stop", ""]
    assert word_error_rate(references, hypotheses) == pytest.approx(2 / 5)
    assert word_error_rate(["a"], ["x y z"]) == 3  # above 1
    assert word_error_rate(["a", ""], ["a", "b"]) == 1  # words where there is silence
    assert word_error_rate(["a  b"], ["a b"]) == 0
    assert np.isnan(word_error_rate(["", ""], ["a", ""]))
    assert np.isnan(word_error_rate([], []))
    with pytest.raises(ValueError, match="1 references and 2 hypotheses"):
        word_error_rate(["a"], ["a", "b"])


def test_slu_f1_of_right_slots_is_1():
    slots = [(("time", "eight am"), ("date", "friday")), (), (("date", "today"),)]
    score = slu_f1(slots, slots)
    assert (score.precision, score.recall, score.f1) == (1, 1, 1)
    assert score.true_positives == 6  # 3 slots under two distances


def test_slu_f1_of_a_near_filler():
    # Words: 1 of 2 wrong, 0.5. Characters: "eight am" to "eight pm" is 1 of 8.
    score = slu_f1([(("time", "eight am"),)], [(("time", "eight pm"),)])
    assert score.true_positives == 2
    assert score.false_positives == score.false_negatives == pytest.approx(0.5 + 0.125)
    assert score.f1 == pytest.approx(2 / (2 + 0.625))


def test_slu_f1_a_filler_too_long_costs_more_than_one():
    score = slu_f1([(("day", "may"),)], [(("day", "may or not"),)])
    assert score.false_positives == pytest.approx(2 + 7 / 10)


def test_slu_f1_of_wrong_types_and_left_over_slots():
    gold = [(("time", "six"), ("date", "friday"))]
    claimed = [(("time", "six"), ("place", "friday"))]
    score = slu_f1(gold, claimed)
    assert (score.true_positives, score.false_positives, score.false_negatives) == (2, 2, 2)
    assert (score.precision, score.recall, score.f1) == (0.5, 0.5, 0.5)


def test_slu_f1_takes_the_nearest_filler_once():
    gold = [(("size", "large cup"), ("size", "small cup"))]
    claimed = [(("size", "small cup"), ("size", "large cup"))]
    assert slu_f1(gold, claimed).f1 == 1
    thrice = slu_f1([(("size", "large"),)], [(("size", "large"),) * 3])
    assert (thrice.true_positives, thrice.false_positives, thrice.false_negatives) == (2, 4, 0)


def test_slu_f1_where_there_are_none():
    empty = slu_f1([()], [()])
    assert np.isnan([empty.precision, empty.recall, empty.f1]).all()
    none_found = slu_f1([(("a", "b"),)], [()])
    assert np.isnan(none_found.precision)
    assert (none_found.recall, none_found.f1) == (0, 0)
    all_made_up = slu_f1([()], [(("a", "b"),)])
    assert np.isnan(all_made_up.recall)
    assert (all_made_up.precision, all_made_up.f1) == (0, 0)
    with pytest.raises(ValueError, match="1 clips of gold slots and 0"):
        slu_f1([()], [])


def test_slu_f1_of_an_empty_filler():
    score = slu_f1([(("a", "bc d"),)], [(("a", ""),)])
    assert score.false_positives == pytest.approx(1 + 1)
