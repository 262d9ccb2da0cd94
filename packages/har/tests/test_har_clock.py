"""Clocks: what was sampled comes back, gaps stay, faults are named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar_har.clock import (
    GRAVITY,
    TIME_UNITS,
    Stream,
    acc_factor,
    fast_turns,
    gyro_factor,
    in_order,
    labels_on,
    on_one_clock,
    resample,
    sessions,
    time_unit,
)
from nearfar_kit.errors import UserError


def stream(time, values, rows=None) -> Stream:
    values = np.asarray(values, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    return Stream(np.asarray(time, dtype=np.float64), values, "walk.csv", rows)


@settings(max_examples=60, deadline=None)
@given(
    own=st.floats(20, 200),
    rate=st.floats(20, 60),
    cycles=st.floats(0.01, 0.05),
    offset=st.floats(0, 2e9),
    lead=st.floats(0, 0.5),
    seed=st.integers(0, 2**16),
)
def test_a_sine_comes_back_at_any_rate_offset_and_jitter(own, rate, cycles, offset, lead, seed):
    rng = np.random.default_rng(seed)
    n = round(12 * own)
    time = offset + (np.arange(n) + rng.uniform(-0.3, 0.3, n)) / own
    frequency = cycles * min(own, rate)
    wave = stream(time, np.sin(2 * np.pi * frequency * (time - offset)))
    start, samples = offset + 0.2 + lead, int(10 * rate)
    out = resample(wave, start, samples, rate)[:, 0]
    true = np.sin(2 * np.pi * frequency * (start - offset + np.arange(samples) / rate))
    # UNIX seconds in float64 are exact to a quarter of a microsecond: no part of this error.
    assert np.abs(out - true).max() < 0.05


def test_a_tone_above_half_the_new_rate_is_not_folded_down():
    time = np.arange(4000) / 200
    fast = np.sin(2 * np.pi * 40 * time)
    out = resample(stream(time, fast), 0.0, 900, 50.0)[:, 0]
    assert np.sqrt(np.mean(out[20:-20] ** 2)) < 0.01  # by interpolation alone: 0.7
    slow = resample(stream(time, np.sin(2 * np.pi * 5 * time)), 0.0, 900, 50.0)[:, 0]
    assert np.sqrt(np.mean(slow[20:-20] ** 2)) == pytest.approx(np.sqrt(0.5), abs=0.01)


def test_an_even_clock_at_the_same_rate_is_left_alone():
    values = np.random.default_rng(0).normal(size=(500, 6))
    out = resample(stream(np.arange(500) / 50, values), 0.0, 500, 50.0)
    np.testing.assert_allclose(out, values, atol=1e-5)


def test_short_gaps_are_filled_and_long_ones_stay():
    time = np.arange(200) / 50
    keep = np.ones(200, dtype=bool)
    keep[50:55] = False  # 0.12 s between neighbours
    keep[100:130] = False  # 0.62 s
    out = resample(stream(time[keep], 2 * time[keep]), 0.0, 200, 50.0, max_gap=0.2)[:, 0]
    assert np.flatnonzero(np.isnan(out)).tolist() == list(range(100, 130))
    np.testing.assert_allclose(out[~np.isnan(out)], 2 * time[~np.isnan(out)], atol=1e-5)


def test_each_channel_has_its_own_gaps_and_nothing_is_made_up_outside():
    time = np.arange(100) / 50
    values = np.stack([time, -time], axis=1)
    values[30:60, 1] = np.nan
    out = resample(stream(time, values), -1.0, 200, 50.0)
    assert np.flatnonzero(~np.isnan(out[:, 0])).tolist() == list(range(50, 150))
    assert np.flatnonzero(np.isnan(out[50:150, 1])).tolist() == list(range(30, 60))


def test_a_slow_sensor_is_not_all_gap():
    time = np.arange(20) / 4
    out = resample(stream(time, time), 0.0, 76, 16.0, max_gap=0.2)[:, 0]
    np.testing.assert_allclose(out, np.arange(76) / 16, atol=1e-6)


def test_equal_times_are_merged_into_the_mean_of_what_is_there():
    merged = in_order(stream([0, 1, 1, 1, 2], [[5, 1], [1, np.nan], [2, 3], [3, 5], [9, np.nan]]))
    assert merged.time.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(merged.values, [[5, 1], [2, 4], [9, np.nan]])
    assert [merged.row(i) for i in range(3)] == [1, 2, 5]


def test_time_out_of_order_names_file_row_and_both_values():
    with pytest.raises(UserError, match=r"walk\.csv: row 13: time 1\.5 is before 2\.0 of row 12;"):
        in_order(stream([1, 2, 1.5], [0, 0, 0], rows=np.array([11, 12, 13])))
    with pytest.raises(UserError, match=r"walk\.csv: row 2: time is nan; expected a number"):
        in_order(stream([1, np.nan], [0, 0]))


@given(
    rate=st.floats(5.5, 900),
    unit=st.sampled_from(sorted(TIME_UNITS)),
    start=st.floats(0, 1.8e9),
    seed=st.integers(0, 99),
)
def test_the_unit_of_time_is_found_at_any_plausible_rate(rate, unit, start, seed):
    steps = np.random.default_rng(seed).uniform(0.95, 1.05, 200) / rate
    steps[70] += 30.0  # a long gap must not mislead
    time = (start + np.cumsum(steps)) / TIME_UNITS[unit]
    assert time_unit(time, "x") == unit


def test_a_unit_of_time_that_cannot_be_told_is_an_error():
    with pytest.raises(UserError, match="time steps of 400 are no sampling rate of 5 to 1000 Hz"):
        time_unit(np.arange(10) * 400.0, "walk.csv")
    with pytest.raises(UserError, match=r"walk\.csv: no two rows with rising time among 1"):
        time_unit(np.array([5.0]), "walk.csv")


@pytest.mark.parametrize(("size", "factor"), [(1, GRAVITY), (9.8, 1), (1000, GRAVITY / 1000)])
def test_the_unit_of_acceleration_is_found_from_gravity(size, factor):
    rng = np.random.default_rng(0)
    acc = size * (np.array([0.6, 0.0, 0.8]) + 0.1 * rng.normal(size=(500, 3)))
    assert acc_factor(acc, "x") == pytest.approx(factor)
    assert acc_factor(acc, "x", "g") == GRAVITY


def test_acceleration_without_gravity_and_unknown_units_are_errors():
    with pytest.raises(UserError, match=r"walk\.csv: the median size of acceleration is 0\.1"):
        acc_factor(np.full((9, 3), 0.1 / np.sqrt(3)), "walk.csv")
    with pytest.raises(UserError, match="acceleration is 'ft'; expected one of m/s2, g, mg"):
        acc_factor(np.ones((9, 3)), "walk.csv", "ft")
    with pytest.raises(UserError, match="unit of angular velocity is 'rpm'"):
        gyro_factor("rpm")


def test_a_note_where_degrees_pass_for_radians():
    degrees = np.random.default_rng(0).normal(size=(500, 3)) * 90
    assert gyro_factor("deg/s") == pytest.approx(np.pi / 180)
    assert gyro_factor() == 1
    devices = {"wrist": degrees, "hip": degrees / 90, "foot": degrees, "hat": degrees * np.nan}
    assert fast_turns(devices, "x", "deg/s") == ()
    (note,) = fast_turns(devices, "x", "rad/s")
    assert note.startswith("x: a twentieth of the angular velocities of wrist, foot is above 35")
    assert "--read gyro_unit=deg/s" in note


def test_sessions_part_where_every_device_is_silent():
    one = stream([0, 1, 2, 100, 101], range(5), rows=np.arange(10, 15))
    two = stream([0.5, 50, 99.5], range(3))
    parts = sessions([one, two], silence=40)
    assert [[s.time.tolist() for s in part] for part in parts] == [
        [[0, 1, 2], [0.5]],
        [[50]],
        [[100, 101], [99.5]],
    ]
    assert parts[2][0].row(0) == 13


def test_two_clocks_become_one():
    moments = np.arange(300) / 100
    one = stream(1000 + moments, np.stack([1000 + moments] * 3, axis=1))
    two = stream(1000.507 + moments[::2], np.stack([1000.507 + moments[::2]] * 3, axis=1))
    parts = [(one, 0, slice(0, 3)), (two, 1, slice(3, 6))]
    signals, start = on_one_clock(parts, 2, 50.0)
    assert start == 1000
    assert signals.shape == (175, 2, 6)
    # Each device says at every moment what the time is.
    clock = start + np.arange(175) / 50
    for device, channel in ((0, 0), (1, 3)):
        told = signals[:, device, channel]
        there = np.isfinite(told)
        np.testing.assert_allclose(told[there], clock[there], atol=2e-4)
    assert np.isnan(signals[:, 0, 3:]).all()
    assert np.isnan(signals[:25, 1]).all()
    assert np.isfinite(signals[26:, 1, 3:]).all()


def test_clocks_far_apart_are_an_error_not_a_huge_array():
    one, two = stream([0, 1], np.ones((2, 3))), stream([1e9, 1e9 + 1], np.ones((2, 3)))
    with pytest.raises(UserError, match=r"walk\.csv: the devices' clocks lie 1000000001 s apart"):
        on_one_clock([(one, 0, slice(0, 3)), (two, 1, slice(0, 3))], 2, 50.0)


def test_labels_are_the_nearest_in_time():
    time, label = np.array([0.0, 0.1, 0.2, 5.0]), np.array([3, 3, 4, 5])
    assert labels_on(time, label, 0.0, 5, 25.0, 0.1).tolist() == [3, 3, 3, 3, 4]
    assert labels_on(time, label, 2.0, 1, 20.0, 0.1).tolist() == [-1]
    assert labels_on(time[:1], label[:1], 0.0, 2, 1.0, 0.1).tolist() == [3, 3]
