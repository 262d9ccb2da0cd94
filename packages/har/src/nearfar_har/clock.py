"""One clock for devices that each kept their own: time stamps in any unit, any rate, with gaps.

A stream is one sensor's time stamps and values. It is checked, its unit found, low-passed where the
new rate is lower, and laid on the common grid by linear interpolation; gaps stay gaps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nearfar_har.recording import CHANNELS
from nearfar_kit.errors import UserError

__all__ = [
    "ACC_UNITS",
    "GYRO_UNITS",
    "TIME_UNITS",
    "Stream",
    "acc_factor",
    "fast_turns",
    "gyro_factor",
    "in_order",
    "labels_on",
    "on_one_clock",
    "resample",
    "sessions",
    "time_unit",
]

TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
GRAVITY = 9.80665  # m/s^2
ACC_UNITS = {"m/s2": 1.0, "g": GRAVITY, "mg": GRAVITY / 1000}
GYRO_UNITS = {"rad/s": 1.0, "deg/s": np.pi / 180}
FASTEST = 35.0  # rad/s
_RATES = (5.0, 1000.0)  # Hz, what a body-worn sensor may plausibly sample at


@dataclass(frozen=True)
class Stream:
    """One device's samples on its own clock.

    Attributes:
        time: float64 [n], seconds.
        values: float64 [n, channels].
        name: says in an error where the samples come from: a file, and a device.
        rows: int64 [n], the samples' numbers in that file; None: 1, 2, ...
        written: a sample's time as that file has it, of its index, until equal times are merged.
    """

    time: np.ndarray
    values: np.ndarray
    name: str
    rows: np.ndarray | None = None
    written: Callable[[int], object] | None = None

    def row(self, index: int) -> int:
        return index + 1 if self.rows is None else int(self.rows[index])

    def time_of(self, index: int) -> str:
        return str(float(self.time[index]) if self.written is None else self.written(index))


def time_unit(time: np.ndarray, name: str) -> str:
    """The unit in which the typical step of ``time`` [n] is a plausible sampling rate, 5-1000 Hz.

    The units lie a thousand apart and the plausible rates span two hundred, so one at most fits.

    Raises:
        UserError: none fits, or there are not two different times to tell from.
    """
    steps = np.diff(time)
    steps = steps[steps > 0]
    if not len(steps):
        raise UserError(f"{name}: no two rows with rising time among {len(time)}; expected more")
    # Loggers deliver bursts, so the median step may be far off the rate; between the quartiles the
    # mean is steady under bursts and under gaps.
    low, high = np.quantile(steps, [0.1, 0.9])
    typical = float(steps[(steps >= low) & (steps <= high)].mean())
    for unit, seconds in TIME_UNITS.items():
        if _RATES[0] <= 1 / (typical * seconds) <= _RATES[1]:
            return unit
    raise UserError(
        f"{name}: time steps of {typical:g} are no sampling rate of 5 to 1000 Hz in "
        f"{', '.join(TIME_UNITS)}; name the unit of time"
    )


def in_order(stream: Stream) -> Stream:
    """The stream, its equal times merged into their mean.

    Raises:
        UserError: a time that is not finite or lies before the one above it.
    """
    time, values = stream.time, stream.values
    bad = np.flatnonzero(~np.isfinite(time))
    if len(bad):
        raise UserError(
            f"{stream.name}: row {stream.row(bad[0])}: time is {time[bad[0]]}; expected a number"
        )
    back = np.flatnonzero(np.diff(time) < 0)
    if len(back):
        at = int(back[0]) + 1
        raise UserError(
            f"{stream.name}: row {stream.row(at)}: time {stream.time_of(at)} is before "
            f"{stream.time_of(at - 1)} of row {stream.row(at - 1)}; expected time in order"
        )
    first = np.flatnonzero(np.diff(time, prepend=-np.inf) > 0)
    if len(first) == len(time):
        return stream
    number = np.add.reduceat(np.isfinite(values).astype(np.float64), first, axis=0)
    total = np.add.reduceat(np.nan_to_num(values), first, axis=0)
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    rows = np.arange(1, len(time) + 1) if stream.rows is None else stream.rows
    return replace(stream, time=time[first], values=mean, rows=rows[first], written=None)


def sessions(streams: Sequence[Stream], silence: float) -> list[list[Stream]]:
    """The streams cut where none of them has a sample for more than ``silence`` seconds."""
    every = np.unique(np.concatenate([s.time for s in streams]))
    cuts = every[1:][np.diff(every) > silence]
    edges = [-np.inf, *cuts.tolist(), np.inf]
    parts = []
    for begin, end in itertools.pairwise(edges):
        own = [_between(s, begin, end) for s in streams]
        parts.append([s for s in own if len(s.time)])
    return parts


def _between(stream: Stream, begin: float, end: float) -> Stream:
    inside = slice(*np.searchsorted(stream.time, [begin, end]).tolist())
    rows = None if stream.rows is None else stream.rows[inside]
    return replace(
        stream, time=stream.time[inside], values=stream.values[inside], rows=rows, written=None
    )


def on_one_clock(
    parts: Sequence[tuple[Stream, int, slice]], devices: int, rate: float, max_gap: float = 0.2
) -> tuple[np.ndarray, float]:
    """float32 [T, devices, 6] over the time in which any stream has samples, and its start in s.

    Args:
        parts: streams in order, each with its device's number and the channels it fills.
    """
    streams = [stream for stream, _, _ in parts]
    start = min(float(s.time[0]) for s in streams)
    end = max(float(s.time[-1]) for s in streams)
    longest = max(float(s.time[-1] - s.time[0]) for s in streams)
    if end - start > 10 * (longest + 60):
        raise UserError(
            f"{streams[0].name}: the devices' clocks lie {end - start:.0f} s apart for recordings "
            f"of {longest:.0f} s; expected clocks set alike"
        )
    # A hundredth of a step of grace: the last sample must not be lost to rounding.
    samples = int(np.floor((end - start) * rate + 0.01)) + 1
    signals = np.full((samples, devices, len(CHANNELS)), np.nan, dtype=np.float32)
    for stream, device, channels in parts:
        signals[:, device, channels] = resample(stream, start, samples, rate, max_gap)
    return signals, start


def resample(
    stream: Stream, start: float, samples: int, rate: float, max_gap: float = 0.2
) -> np.ndarray:
    """float32 [samples, channels]: a stream in order on the grid ``start + k / rate``.

    Where the stream is faster than the grid it is first low-passed below half the new rate. Gaps of
    up to ``max_gap`` seconds are interpolated; longer ones, and what lies outside the stream, are
    NaN. Channels may lack different samples: each has its own gaps.
    """
    grid = start + np.arange(samples) / rate
    out = np.full((samples, stream.values.shape[1]), np.nan, dtype=np.float32)
    if len(stream.time) > 1:
        # A sensor slower than the gap allows has no gap at each sample.
        max_gap = max(max_gap, 1.5 * float(np.median(np.diff(stream.time))))
    finite = np.isfinite(stream.values)
    left = list(range(finite.shape[1]))
    while left:
        # Channels that lack the same samples, mostly all, are worked together.
        known = finite[:, left[0]]
        channels = [c for c in left if np.array_equal(finite[:, c], known)]
        left = [c for c in left if c not in channels]
        time, values = stream.time[known], stream.values[known][:, channels]
        # Filters and lines are drawn inside each unbroken run only.
        cuts = np.flatnonzero(np.diff(time) > max_gap) + 1
        for run in np.split(np.arange(len(time)), cuts):
            if len(run):
                _fill(out, channels, grid, time[run], values[run], rate)
    return out


def _fill(
    out: np.ndarray,
    channels: list[int],
    grid: np.ndarray,
    time: np.ndarray,
    values: np.ndarray,
    rate: float,
) -> None:
    """Write one unbroken run [n], [n, channels] to the rows of ``out`` that it covers."""
    grace = 0.01 / rate
    begin = int(np.searchsorted(grid, time[0] - grace))
    end = int(np.searchsorted(grid, time[-1] + grace, side="right"))
    if begin >= end:
        return
    inside = grid[begin:end]
    span = time[-1] - time[0]
    own_rate = (len(time) - 1) / span if span > 0 else rate
    if own_rate > 1.2 * rate:
        time, values = _low_passed(time, values, own_rate, rate)
    for column, channel in enumerate(channels):
        out[begin:end, channel] = np.interp(inside, time, values[:, column])


def _low_passed(
    time: np.ndarray, values: np.ndarray, own_rate: float, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """The run on an even grid at its own mean rate or faster, with nothing above rate / 2."""
    # A filter needs even steps. Twice the rate keeps what interpolation alone would blur.
    even_rate = 2 * own_rate
    even = np.arange(time[0], time[-1] + 0.5 / even_rate, 1 / even_rate)
    # A windowed sinc, ten periods of the new rate long: a half at 0.4 of it, a thousandth at 0.57.
    half = int(np.ceil(5 * even_rate / rate))
    taps = np.hamming(2 * half + 1) * np.sinc(0.8 * rate / even_rate * np.arange(-half, half + 1))
    taps /= taps.sum()
    smooth = np.empty((len(even), values.shape[1]))
    for column in range(values.shape[1]):
        line = np.interp(even, time, values[:, column])
        # An odd reflection at the ends continues a slope, where zeros would pull to zero.
        padded = np.pad(line, half, mode="reflect", reflect_type="odd")
        smooth[:, column] = np.convolve(padded, taps, mode="valid")
    return even, smooth


def labels_on(
    time: np.ndarray, label: np.ndarray, start: float, samples: int, rate: float, max_gap: float
) -> np.ndarray:
    """int64 [samples]: each grid point's nearest label in time, -1 where none is within the gap."""
    grid = start + np.arange(samples) / rate
    after = np.clip(np.searchsorted(time, grid), 1, max(1, len(time) - 1))
    before = after - 1
    after = np.minimum(after, len(time) - 1)
    nearest = np.where(grid - time[before] <= time[after] - grid, before, after)
    near = np.abs(time[nearest] - grid) <= max(max_gap, 1 / rate)
    return np.where(near, label[nearest], -1).astype(np.int64)


def acc_factor(acc: np.ndarray, name: str, unit: str | None = None) -> float:
    """What acceleration [n, 3] is multiplied by to be in m/s^2.

    Without a stated unit, the median norm tells: near 1 it is g, near 9.8 m/s^2, near 1000 mg, as
    a body at rest or in steady motion feels gravity on average.
    """
    if unit is not None:
        return _stated(unit, ACC_UNITS, "acceleration")
    norm = np.linalg.norm(acc, axis=1)
    norm = norm[np.isfinite(norm)]
    if not len(norm):
        return 1.0
    typical = float(np.median(norm))
    for factor in ACC_UNITS.values():
        if 0.6 <= typical * factor / GRAVITY <= 1.8:
            return factor
    raise UserError(
        f"{name}: the median size of acceleration is {typical:.3g}; expected about 1 (g), 9.8 "
        f"(m/s2) or 1000 (mg) with gravity left in; name the unit if it is right"
    )


def gyro_factor(unit: str = "rad/s") -> float:
    """What angular velocity is multiplied by to be in rad/s: nothing like gravity tells the unit,
    so it is stated."""
    return _stated(unit, GYRO_UNITS, "angular velocity")


def fast_turns(gyro: Mapping[str, np.ndarray], name: str, unit: str) -> tuple[str, ...]:
    """A note where numbers [n, 3] of some devices, given as rad/s, are hardly reached by a body.

    Args:
        gyro: by device, as the file has them. name: the file's, for the note.
    """
    fast = []
    for device, values in gyro.items():
        norm = np.linalg.norm(values, axis=1)
        norm = norm[np.isfinite(norm)]
        if len(norm) and unit == "rad/s" and float(np.quantile(norm, 0.95)) > FASTEST:
            fast.append(device)
    if not fast:
        return ()
    return (
        f"{name}: a twentieth of the angular velocities of {', '.join(fast)} is above "
        f"{FASTEST:g} rad/s, faster than limbs turn; if they are in deg/s, --read gyro_unit=deg/s "
        "says it",
    )


def _stated(unit: str, known: dict[str, float], what: str) -> float:
    if unit not in known:
        raise UserError(f"unit of {what} is {unit!r}; expected one of {', '.join(known)}")
    return known[unit]
