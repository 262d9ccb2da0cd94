"""SLU-F1 against SLURP's definition (Bastianelli et al. 2020, 2011.13205) derived anew.

A table of confusions for each slot type, one table a distance, both added up, micro F1 of the sum;
distances by their textbook recursion. The official script gives 0 where a ratio of nothing is NaN
here, and leaves clips out that were not answered, which here need slots, if none.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar_speech.measures import slu_f1


@cache
def levenshtein(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(
        levenshtein(a[1:], b) + 1,
        levenshtein(a, b[1:]) + 1,
        levenshtein(a[1:], b[1:]) + (a[0] != b[0]),
    )


def word_error(gold, claimed):
    gold, claimed = tuple(gold.split()), tuple(claimed.split())
    return levenshtein(gold, claimed) / len(gold) if gold else float(len(claimed))


def character_error(gold, claimed):
    return levenshtein(gold, claimed) / max(len(gold), len(claimed)) if gold or claimed else 0.0


def confusions(gold, predicted, distance):
    """{type: [true positives, false positives, false negatives]}."""
    table = defaultdict(lambda: np.zeros(3))
    for truth, claimed in zip(gold, predicted, strict=True):
        by_type = defaultdict(list)
        for kind, filler in truth:
            by_type[kind].append(filler)
        for kind, filler in claimed:
            if not by_type[kind]:
                table[kind] += (0, 1, 0)
                continue
            distances = [distance(other, filler) for other in by_type[kind]]
            nearest = int(np.argmin(distances))  # of equals the first
            table[kind] += (1, distances[nearest], distances[nearest])
            by_type[kind].pop(nearest)
        for kind, fillers in by_type.items():
            table[kind] += (0, 0, len(fillers))
    return table


def official(gold, predicted):
    """Precision, recall and F1, 0 where a ratio has nothing."""
    total = np.zeros(3)
    for distance in (word_error, character_error):
        total += sum(confusions(gold, predicted, distance).values(), np.zeros(3))
    hit, over, under = total
    precision = hit / (hit + over) if hit + over else 0.0
    recall = hit / (hit + under) if hit + under else 0.0
    both = precision + recall
    return total, (precision, recall, 2 * precision * recall / both if both else 0.0)


FILLERS = st.sampled_from(
    ["", "six", "six am", "six pm", "at six am", "eight", "the big red house", "red", "re d", "é"]
)
SLOTS = st.lists(st.tuples(st.sampled_from(["time", "date", "place"]), FILLERS), max_size=5)


@settings(deadline=None)
@given(st.lists(st.tuples(SLOTS, SLOTS), max_size=4))
def test_slu_f1_is_slurps(clips):
    gold, predicted = [tuple(a) for a, _ in clips], [tuple(b) for _, b in clips]
    score = slu_f1(gold, predicted)
    total, ratios = official(gold, predicted)
    counts = (score.true_positives, score.false_positives, score.false_negatives)
    np.testing.assert_allclose(counts, total, rtol=1e-12)
    ours = np.array([score.precision, score.recall, score.f1])
    np.testing.assert_allclose(np.nan_to_num(ours), ratios, rtol=1e-12)
    # What is not a number here is a ratio of nothing.
    hit, over, under = total
    assert np.isnan(ours).tolist() == [hit + over == 0, hit + under == 0, hit + over + under == 0]


def test_an_example_worked_by_hand():
    gold = [(("time", "six am"), ("date", "may one")), (("place", "red house"),)]
    claimed = [(("time", "six pm"), ("place", "may one")), ()]
    # Words: time 1 TP, 1/2 FP, 1/2 FN; place 1 FP, then 1 FN; date 1 FN. Characters: 1/6 for 1/2.
    score = slu_f1(gold, claimed)
    assert score.true_positives == 2
    assert score.false_positives == pytest.approx(1 / 2 + 1 + 1 / 6 + 1)
    assert score.false_negatives == pytest.approx(1 / 2 + 2 + 1 / 6 + 2)
    assert score.f1 == pytest.approx(2 * 2 / (2 * 2 + 8 / 3 + 14 / 3))


@pytest.mark.parametrize(
    ("gold", "claimed", "counts"),
    [
        ("", "", (2, 0, 0)),
        ("", "six", (2, 1 + 1, 1 + 1)),
        ("six", "", (2, 1 + 1, 1 + 1)),
        ("", "six am", (2, 2 + 1, 2 + 1)),
    ],
)
def test_fillers_without_words(gold, claimed, counts):
    score = slu_f1([(("time", gold),)], [(("time", claimed),)])
    assert (score.true_positives, score.false_positives, score.false_negatives) == counts
