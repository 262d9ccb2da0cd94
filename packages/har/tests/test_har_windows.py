"""Windows: what is in them, what is left out, and that no split or subset leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar_har.recording import Collection, Recording
from nearfar_har.windows import (
    Windows,
    cut_windows,
    join_windows,
    labelled_subset,
    load_npz,
    save_npz,
)
from nearfar_kit.errors import UserError

DEVICES = ("wrist", "hip")


def recording(subject="a", samples=100, **changes) -> Recording:
    """Every channel holds the sample's number."""
    count = np.arange(samples, dtype=np.float32)
    made = Recording(
        subject=subject,
        session="one",
        rate=10.0,
        devices=DEVICES,
        signals=np.tile(count[:, None, None], (1, 2, 6)),
        activity=np.zeros(samples, dtype=np.int64),
        segment=np.zeros(samples, dtype=np.int64),
        start=5.0,
    )
    return replace(made, **changes)


def collection(*recordings: Recording) -> Collection:
    return Collection("made", recordings, ("sit", "walk"), DEVICES)


def labelled(activity, subject, subjects=("a", "b", "c")) -> Windows:
    n = len(activity)
    return Windows(
        signals=np.zeros((n, 2, 6, 4), dtype=np.float32),
        present=np.ones((n, 2), dtype=bool),
        activity=np.asarray(activity, dtype=np.int64),
        subject=np.asarray(subject, dtype=np.int64),
        time=np.arange(n, dtype=np.float64),
        group=np.arange(n, dtype=np.int64),
        subjects=subjects,
        devices=DEVICES,
        activities=("sit", "walk", "run"),
        rate=10.0,
    )


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    codes=st.lists(st.integers(0, 2), min_size=8, max_size=8),
    width=st.integers(2, 20),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
)
def test_windows_never_cross_a_segment_or_share_samples_between_groups(
    lengths, codes, width, overlap
):
    segment = np.repeat(codes[: len(lengths)], lengths).astype(np.int64)
    made = collection(recording(samples=len(segment), segment=segment), recording(subject="b"))
    windows = cut_windows(made, seconds=width / 10, overlap=overlap)
    samples = windows.signals[:, 0, 0].astype(int)  # N x W, numbers of samples
    assert (np.diff(samples, axis=1) == 1).all()
    own = windows.subject == 0
    assert (segment[samples[own]] == segment[samples[own][:, :1]]).all()
    step = max(1, round(width * (1 - overlap)))
    runs = np.diff(np.flatnonzero(np.diff(segment, prepend=-1, append=-1)))
    assert own.sum() == sum((n - width) // step + 1 for n in runs if n >= width)
    used: dict[tuple[int, int], int] = {}
    for subject, group, row in zip(windows.subject, windows.group, samples, strict=True):
        for sample in row:
            assert used.setdefault((subject, sample), group) == group


def test_a_window_holds_signals_time_and_subject():
    windows = cut_windows(collection(recording("b"), recording("a")), seconds=2.0, overlap=0.5)
    assert windows.signals.shape == (18, 2, 6, 20)
    assert windows.signals.dtype == np.float32
    assert windows.subjects == ("a", "b")
    assert windows.subject.tolist() == [1] * 9 + [0] * 9
    np.testing.assert_array_equal(windows.signals[1, 1, 5], np.arange(10, 30))
    np.testing.assert_allclose(windows.time[:3], [5.0, 6.0, 7.0])
    assert windows.present.all()


def test_a_label_needs_a_majority_as_pure_as_asked():
    activity = np.repeat([0, 1, -1], [28, 12, 10])
    windows = cut_windows(collection(recording(samples=50, activity=activity)), 1.0)
    assert windows.activity.tolist() == [0, 0, 0, 1, -1]
    strict = cut_windows(collection(recording(samples=50, activity=activity)), 1.0, purity=0.9)
    assert strict.activity.tolist() == [0, 0, -1, 1, -1]
    with pytest.raises(UserError, match=r"purity is 0\.4"):
        cut_windows(collection(recording()), purity=0.4)


def test_a_device_with_a_gap_is_absent_and_a_window_without_devices_is_dropped():
    signals = recording(samples=40).signals.copy()
    signals[15, 0, 4] = np.nan  # one gyroscope sample of the wrist
    signals[22:28] = np.nan  # everything
    signals[35, 1, 0] = np.nan
    windows = cut_windows(collection(recording(samples=40, signals=signals)), 1.0)
    assert windows.present.tolist() == [[True, True], [False, True], [True, False]]
    assert windows.dropped == 1
    np.testing.assert_allclose(windows.time, [5.0, 6.0, 8.0])
    assert (windows.signals[~windows.present] == 0).all()
    assert np.isfinite(windows.signals).all()


def test_a_device_that_never_had_a_gyroscope_is_present_by_acceleration():
    signals = recording(samples=20).signals.copy()
    signals[:, 1, 3:] = np.nan
    windows = cut_windows(collection(recording(samples=20, signals=signals)), 1.0)
    assert windows.present.all()
    assert (windows.signals[:, 1, 3:] == 0).all()
    np.testing.assert_array_equal(windows.signals[1, 1, 0], np.arange(10, 20))
    # In another subject's recording it works: then its absence here is a gap.
    both = collection(recording(samples=20, signals=signals), recording("b", samples=20))
    assert cut_windows(both, 1.0).present.tolist() == [[True, False]] * 2 + [[True, True]] * 2


def test_cutting_what_cannot_be_cut_says_why():
    with pytest.raises(UserError, match=r"made: no window of 20 s \(200 samples\): no segment is"):
        cut_windows(collection(recording()), seconds=20)
    nothing = np.full((100, 2, 6), np.nan, dtype=np.float32)
    with pytest.raises(UserError, match="none of 5 holds a whole device"):
        cut_windows(collection(recording(signals=nothing)))
    with pytest.raises(UserError, match=r"rates \[10\.0, 25\.0\] Hz; expected one"):
        cut_windows(collection(recording(), recording("b", rate=25.0)))
    with pytest.raises(UserError, match="overlap is 1"):
        cut_windows(collection(recording()), overlap=1)
    with pytest.raises(UserError, match=r"windows of 0\.1 s at 10 Hz"):
        cut_windows(collection(recording()), seconds=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signals": np.zeros((100, 2, 5), np.float32)}, r"expected float32 \[T, 2, 6\]"),
        ({"signals": np.zeros((100, 2, 6))}, "signals are float64"),
        ({"activity": np.zeros(99, np.int64)}, "activity is int64 "),
        ({"segment": np.zeros(100, np.int32)}, "segment is int32"),
        ({"rate": 0.0}, "rate is 0"),
        ({"start": float("nan")}, "start is nan"),
        ({"signals": np.full((100, 2, 6), np.inf, np.float32)}, "infinite"),
        ({"devices": ("hip", "hip")}, "different names"),
    ],
)
def test_a_recording_that_is_not_one_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        recording(**changes)


def test_a_collection_shares_devices_and_activities():
    with pytest.raises(ValueError, match="expected -1 to 1"):
        collection(recording(activity=np.full(100, 2)))
    with pytest.raises(ValueError, match="expected \\('wrist', 'hip'\\)"):
        collection(recording(devices=("hip", "wrist")))
    with pytest.raises(ValueError, match="has no recording"):
        collection()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), min_size=9, max_size=9).filter(any),
    small=st.floats(0.005, 1),
    large=st.floats(0.005, 1),
    seed=st.integers(0, 9),
)
def test_subsets_of_labels_are_nested_and_even(sizes, small, large, seed):
    small, large = sorted((small, large))
    cells = [(c, s) for c in range(3) for s in range(3)]
    activity = np.concatenate([np.full(n, c) for (c, _), n in zip(cells, sizes, strict=True)])
    subject = np.concatenate([np.full(n, s) for (_, s), n in zip(cells, sizes, strict=True)])
    windows = labelled(activity, subject)
    few, many = (labelled_subset(windows, share, seed) for share in (small, large))
    assert np.isin(few, many).all()
    assert len(np.unique(few)) == len(few)
    assert set(activity[few]) == set(activity)
    for c in range(3):
        total = int((activity == c).sum())
        if total:
            assert (activity[many] == c).sum() == max(1, round(large * total))
        for s in range(3):
            cell = (activity == c) & (subject == s)
            # One more or less than its share of what the class has got.
            got = np.isin(np.flatnonzero(cell), many).sum()
            share = (activity[many] == c).sum() / max(1, total)
            assert abs(got - share * cell.sum()) <= 1.5


def test_subsets_of_labels_follow_the_seed_and_skip_what_is_unlabelled():
    activity = np.tile([0, 1, 2, -1], 50)
    windows = labelled(activity, np.arange(200) % 3)
    one, again, other = (labelled_subset(windows, 0.1, seed) for seed in (1, 1, 2))
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()
    assert (activity[one] >= 0).all()
    # Neither the subject that gives a class's only window nor that window is always the same.
    single = [labelled_subset(windows, 0.001, seed) for seed in range(10)]
    sitting = [rows[activity[rows] == 0] for rows in single]
    assert len({int(windows.subject[rows[0]]) for rows in sitting}) > 1
    alone = windows.select(windows.subject == 0)
    assert len({int(labelled_subset(alone, 0.001, seed)[0]) for seed in range(10)}) > 1
    assert len(labelled_subset(windows, 1.0, 0)) == 150
    with pytest.raises(UserError, match="share of labels is 0"):
        labelled_subset(windows, 0.0, 0)
    with pytest.raises(UserError, match="no window is labelled"):
        labelled_subset(labelled([-1], [0]), 0.5, 0)


def test_subjects_are_held_out_whole():
    windows = labelled([0, 1, 2, 0], [0, 1, 2, 0])
    train, test = windows.split_by_subject("a")
    assert (train.time.tolist(), test.time.tolist()) == ([1, 2], [0, 3])
    train, test = windows.split_by_subject(("a", "c"))
    assert (train.time.tolist(), test.time.tolist()) == ([1], [0, 2, 3])
    with pytest.raises(UserError, match="no subject 'd'; expected some of a, b, c"):
        windows.split_by_subject("d")
    with pytest.raises(UserError, match="leaves no window"):
        windows.split_by_subject(("a", "b", "c"))


def test_one_device_gives_the_rows_in_which_it_is_present():
    windows = labelled([0, 1, 2], [0, 1, 2])
    windows.present[1, 1] = False
    windows.signals[2, 1] = 7
    signals, rows = windows.of_device("hip")
    assert rows.tolist() == [0, 2]
    assert signals.shape == (2, 6, 4)
    assert (signals[1] == 7).all()
    with pytest.raises(UserError, match="no device 'ear'; expected one of wrist, hip"):
        windows.of_device("ear")


def test_windows_survive_a_file(tmp_path):
    signals = recording(samples=40).signals.copy()
    signals[:15] = np.nan
    windows = cut_windows(collection(recording("Zoë", samples=40, signals=signals)), 1.0)
    save_npz(tmp_path / "windows.npz", windows)
    loaded = load_npz(tmp_path / "windows.npz")
    for name in ("signals", "present", "activity", "subject", "time", "group"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(windows, name))
        assert getattr(loaded, name).dtype == getattr(windows, name).dtype
    assert (loaded.subjects, loaded.devices, loaded.activities) == (
        ("Zoë",),
        DEVICES,
        ("sit", "walk"),
    )
    assert (loaded.rate, loaded.dropped) == (10.0, 2)
    assert [f.name for f in tmp_path.iterdir()] == ["windows.npz"]


class _Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit",))


def test_a_file_that_is_not_windows_gives_one_line(tmp_path):
    path = tmp_path / "other.npz"
    with pytest.raises(UserError, match=r"other\.npz: no such file"):
        load_npz(path)
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match=r"other\.npz: not a readable \.npz of plain arrays"):
        load_npz(path)
    np.savez(path, imu=np.zeros(3))
    with pytest.raises(UserError, match="field 'format' is not 'nearfar-har windows 1'"):
        load_npz(path)
    np.savez(path, format=np.asarray("nearfar-har windows 1"), signals=np.zeros(3))
    with pytest.raises(UserError, match="field 'present' is missing"):
        load_npz(path)
    np.savez(path, format=np.array([_Trap()], dtype=object))
    with pytest.raises(UserError, match="not a readable"):
        load_npz(path)


def test_windows_cut_apart_join_into_those_cut_together():
    one, two = recording("b"), recording("a", samples=60)
    together = cut_windows(collection(one, two), overlap=0.5)
    joined = join_windows([cut_windows(collection(r), overlap=0.5) for r in (one, two)])
    for name in ("signals", "subject", "group", "time"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(together, name))
    assert joined.subjects == together.subjects
    with pytest.raises(ValueError, match="cannot join: samples"):
        join_windows([together, cut_windows(collection(one), seconds=1.0)])
