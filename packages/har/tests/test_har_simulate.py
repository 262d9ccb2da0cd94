"""The simulator: reproducible, plausible, synchronous, neither trivial nor hopeless."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score

from nearfar_har.readers import read
from nearfar_har.simulate import ACTIVITIES, DEVICES, simulate, write_simulated
from nearfar_har.windows import cut_windows, labelled_subset


@pytest.fixture(scope="module")
def made():

    return simulate()


def test_it_holds_what_was_asked_for(made):
    assert made.devices == DEVICES
    assert made.subjects == tuple(f"s{n}" for n in range(1, 9))
    for recording in made.recordings:
        assert len(recording) == len(ACTIVITIES) * 60 * 25
        assert (np.bincount(recording.activity) == 60 * 25).all()
        # A segment is one bout of one activity; an activity has several.
        pairs = {*zip(recording.segment.tolist(), recording.activity.tolist(), strict=True)}
        assert len(pairs) == len(np.unique(recording.segment)) == 4 * len(ACTIVITIES)
    assert simulate(2, minutes_per_activity=0.5, rate=50.0).seconds == 2 * 8 * 30


def test_the_seed_decides_and_subjects_do_not_depend_on_each_other():
    few, more = simulate(2, 0.5, seed=3), simulate(3, 0.5, seed=3)
    for one, two in zip(few.recordings, more.recordings, strict=False):
        np.testing.assert_array_equal(one.signals, two.signals)
    assert not np.array_equal(few.recordings[0].signals, few.recordings[1].signals)
    other = simulate(1, 0.5, seed=4).recordings[0].signals
    assert not np.array_equal(few.recordings[0].signals, other)


def test_units_are_those_of_a_body(made):
    signals = np.concatenate([r.signals for r in made.recordings])
    activity = np.concatenate([r.activity for r in made.recordings])
    still = activity <= ACTIVITIES.index("standing")
    assert np.isfinite(signals).all()
    acc, gyro = np.linalg.norm(signals[..., :3], axis=2), np.linalg.norm(signals[..., 3:], axis=2)
    assert 9 < np.median(acc[still]) < 10.6
    assert np.quantile(gyro[still], 0.9) < 1
    running = activity == ACTIVITIES.index("running")
    assert 3 < np.quantile(gyro[running][:, 3:], 0.9) < 20
    assert np.quantile(acc, 0.999) < 160


def test_devices_share_the_moment(made):
    """The size of motion tells of another device's at that moment, not at another moment."""
    windows = cut_windows(made)
    for name in ("walking", "running", "rowing"):
        own = windows.select(windows.activity == ACTIVITIES.index(name))
        energy = own.signals[:, :, 3:].std(axis=3).mean(axis=2)  # n x devices
        together, shuffled = [], []
        for group in np.unique(own.group):
            of_bout = energy[own.group == group]
            of_bout = (of_bout - of_bout.mean(0)) / of_bout.std(0)
            together.append((of_bout[:, 3] * of_bout[:, 4]).mean())
            shuffled.append((of_bout[:, 3] * np.roll(of_bout[:, 4], 3)).mean())
        assert np.mean(together) > 0.5
        assert np.mean(shuffled) < 0.2


def test_limbs_keep_step(made):
    """Legs swing against each other in walking and together in rowing, all through a bout."""
    for name, sign in (("walking", -1), ("rowing", 1)):
        fits = []
        for recording in made.recordings:
            bouts = np.where(recording.activity == ACTIVITIES.index(name), recording.segment, -1)
            for bout in np.unique(bouts)[1:]:
                legs = recording.signals[bouts == bout][:, 3:, 4]
                fits.append(np.corrcoef(legs.T)[0, 1])
        assert np.mean(fits) * sign > 0.3


def test_few_labels_are_neither_trivial_nor_hopeless(made):
    scores = []
    for held_out in (("s1", "s2"), ("s5", "s6")):
        train, test = cut_windows(made).split_by_subject(held_out)
        train = train.select(labelled_subset(train, 0.05, 0))
        for device in range(len(DEVICES)):
            forest = RandomForestClassifier(30, random_state=0)
            forest.fit(_statistics(train.signals[:, device]), train.activity)
            guess = forest.predict(_statistics(test.signals[:, device]))
            scores.append(f1_score(test.activity, guess, average="macro"))
    assert 0.5 < np.mean(scores) < 0.85
    assert max(scores) < 0.95


def _statistics(signals: np.ndarray) -> np.ndarray:
    low, high = np.quantile(signals, [0.1, 0.9], axis=2)
    return np.concatenate([signals.mean(2), signals.std(2), low, high], axis=1)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        simulate(subjects=0)


def test_what_is_written_is_what_was_made(tmp_path):
    write_simulated(tmp_path, seed=3)
    found = read(tmp_path / "recordings.parquet")
    made = simulate(subjects=6, minutes_per_activity=0.5, seed=3)
    assert [r.subject for r in found.recordings] == [r.subject for r in made.recordings]
    for own, other in zip(found.recordings, made.recordings, strict=True):
        order = [own.devices.index(device) for device in other.devices]
        np.testing.assert_allclose(own.signals[:, order], other.signals, rtol=1e-5)
        assert np.array(found.activities)[own.activity].tolist() == (
            np.array(made.activities)[other.activity].tolist()
        )
