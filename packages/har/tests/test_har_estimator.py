"""The estimator face says what the functions under it say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

import nearfar_har
from nearfar_har import ActivityClassifier
from nearfar_kit.errors import UserError


@pytest.fixture(scope="module")
def fitted(windows):
    return ActivityClassifier(steps=6, batch=16, tuned_steps=5).fit(windows)


def test_it_is_what_train_gives(windows, model, fitted):
    p, _ = model.probabilities(windows)
    np.testing.assert_array_equal(fitted.predict_proba(windows), p)
    names = np.array(windows.activities)
    assert (fitted.predict(windows) == names[p.argmax(1)]).all()


def test_score_is_macro_f1_of_the_labelled(windows, fitted):
    from sklearn.metrics import f1_score

    activity = windows.activity.copy()
    activity[::3] = -1
    truth = np.array(windows.activities)[windows.activity]
    rows = activity >= 0
    expected = f1_score(truth[rows], fitted.predict(windows)[rows], average="macro")
    assert fitted.score(replace(windows, activity=activity)) == pytest.approx(expected)


def test_embeddings_keep_their_rows(windows, fitted):
    present = windows.present.copy()
    present[::2, 1] = False
    features = fitted.transform(replace(windows, present=present), windows.devices[1])
    assert np.isnan(features[::2]).all()
    assert np.isfinite(features[1::2]).all()


def test_scikit_learn_can_clone_it():
    made = ActivityClassifier(random_state=3, steps=6, temperature=1)
    copy = clone(made)
    assert copy.get_params() == made.get_params()
    assert copy.set_params(steps=7).settings.steps == 7
    assert made.settings.steps == 6


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(UserError, match="unknown setting temprature; the nearest is temperature"):
        ActivityClassifier(temprature=0.2)


def test_everything_promised_is_there():
    for name in nearfar_har.__all__:
        assert getattr(nearfar_har, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'none'"):
        _ = nearfar_har.none
