"""The estimator face."""

from __future__ import annotations

import pytest
from sklearn.base import clone

from nearfar_kit.errors import UserError
from nearfar_seqrec import SequentialEstimator

TINY = {
    "width": 8, "layers": 1, "heads": 1, "inner_width": 8, "longest": 6, "epochs": 12,
    "dropout": 0.0, "learning_rate": 0.03, "batch": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def fitted(circle_rows):
    return SequentialEstimator(**TINY, method="sasrec").fit([items for _, items in circle_rows])


def test_goes_on_round_the_circle(fitted):
    best = fitted.predict([["item 1", "item 2", "item 3"]], k=3, repeat=True)[0]
    assert "item 4" in best
    assert len(best) == 3
    assert fitted.score() > 0.4  # by chance: 0.38


def test_learnt_values(fitted):
    assert fitted.item_vectors_.shape == (12, 8)
    assert set(fitted.items_) == {f"item {n}" for n in range(12)}


def test_repeats_only_where_they_are_wanted(fitted):
    history = [f"item {n}" for n in range(11)]
    assert fitted.predict([history], k=5) == [["item 11"]]
    assert len(fitted.predict([history], k=5, repeat=True)[0]) == 5


def test_unknown_items_and_settings(fitted):
    with pytest.raises(UserError, match="sequence 1: item 'soap' is unknown"):
        fitted.predict([["item 1"], ["soap"]])
    with pytest.raises(UserError, match="unknown setting widht; the nearest is width"):
        SequentialEstimator(widht=3)


def test_errors_speak_of_what_python_has(fitted):
    with pytest.raises(UserError) as raised:
        fitted.predict([["item 1", "soap"]])
    assert "--" not in str(raised.value)
    for given in (["item 1", "item 2"], "item 1", [["item 1"], "item 2"]):
        with pytest.raises(UserError, match="is text; expected lists of items"):
            fitted.predict(given)
        with pytest.raises(UserError, match="is text; expected lists of items"):
            SequentialEstimator(**TINY).fit(given)


def test_clone_and_parameters(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert copy.set_params(longest=3).settings.longest == 3
    assert not hasattr(copy, "recommender_")
