"""A stated, seeded simulator of five body-worn sensors: data for the demo, not for claims.

A bout of an activity is a posture and a motion. The motion is one phase shared by the whole body,
whose speed and size wander; a limb swings about its side-to-side axis as a few harmonics of that
phase with the limb's own lead, so its gyroscope reads the swing's derivative and its accelerometer
reads gravity in the swinging frame, the body's bounce and the swing's own acceleration. What all
devices share at one moment (activity, phase, wander) is what contrast across devices can find.

What makes it hard: subjects differ in cadence, size of motion, posture, and in how each sensor is
mounted (rotation, gain, gyroscope bias); bouts differ within a subject; arms now and then do
something else than the activity (carry a load, hold a phone); noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from nearfar_har.recording import CHANNELS, Collection, Recording
from nearfar_kit.atomic import replacing

__all__ = ["ACTIVITIES", "DEVICES", "simulate", "write_simulated"]

DEVICES = ("torso", "right_arm", "left_arm", "right_leg", "left_leg")
GRAVITY = 9.81  # m/s^2
BOUT = 15.0  # s
_ARMS = (1, 2)
_LEAD = np.array([0.0, np.pi, 0.0, 0.0, np.pi])  # a limb's lead in gait: arms oppose their legs
_TOGETHER = np.array([0.0, 0.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class _Motion:
    """One activity; lists are torso, arms, legs.

    ``tilt`` is the angle from upright about the side-to-side axis, ``swing`` the angle's amplitude
    (radians); ``bounce`` the body's vertical acceleration at twice the phase, ``impact`` that of
    its sharp part at the legs (m/s^2); ``cadence`` in cycles a second.
    """

    cadence: float
    tilt: tuple[float, float, float]
    swing: tuple[float, float, float]
    bounce: float
    impact: float
    lead: tuple[float, ...] = tuple(_LEAD)


_MOTIONS = {
    "lying": _Motion(0.25, (1.5, 1.4, 1.5), (0.02, 0.02, 0.01), 0.0, 0.0),
    "sitting": _Motion(0.28, (0.1, 0.6, 1.2), (0.03, 0.05, 0.02), 0.0, 0.0),
    "standing": _Motion(0.28, (0.0, 0.2, 0.0), (0.03, 0.05, 0.02), 0.0, 0.0),
    "walking": _Motion(0.92, (0.05, 0.15, 0.1), (0.06, 0.35, 0.5), 1.8, 3.0),
    "stairs": _Motion(0.80, (0.2, 0.25, 0.35), (0.08, 0.25, 0.55), 1.9, 3.2),
    "running": _Motion(1.35, (0.15, 0.9, 0.2), (0.09, 0.5, 0.8), 6.0, 9.0),
    "cycling": _Motion(1.05, (0.5, 0.7, 0.8), (0.05, 0.06, 0.45), 0.5, 0.4),
    "rowing": _Motion(0.45, (0.2, 0.9, 1.2), (0.4, 0.5, 0.4), 0.6, 0.3, tuple(_TOGETHER)),
}
ACTIVITIES = tuple(_MOTIONS)


def simulate(
    subjects: int = 8, minutes_per_activity: float = 1.0, rate: float = 25.0, seed: int = 0
) -> Collection:
    """One recording a subject: bouts of about 15 s, each a segment, the activities in random order.

    Args:
        subjects: named s1, s2, ...; a subject's signals do not depend on how many others there are.
        rate: samples a second.
    """
    if subjects < 1 or minutes_per_activity <= 0 or rate <= 0:
        raise ValueError("subjects, minutes_per_activity and rate must be positive")
    seeds = np.random.SeedSequence(seed).spawn(subjects)
    recordings = tuple(
        _subject(f"s{number}", minutes_per_activity, rate, np.random.default_rng(own))
        for number, own in enumerate(seeds, start=1)
    )
    return Collection("simulated", recordings, ACTIVITIES, DEVICES)


def _subject(name: str, minutes: float, rate: float, rng: np.random.Generator) -> Recording:
    bouts = max(2, round(60 * minutes / BOUT))
    length = max(1, round(60 * minutes * rate / bouts))
    person = _Person.drawn(rng)
    order = rng.permutation(np.repeat(np.arange(len(ACTIVITIES)), bouts))
    signals = [person.bout(_MOTIONS[ACTIVITIES[a]], length, rate, rng) for a in order]
    return Recording(
        subject=name,
        session="simulated",
        rate=rate,
        devices=DEVICES,
        signals=np.concatenate(signals).astype(np.float32),
        activity=np.repeat(order, length).astype(np.int64),
        segment=np.repeat(np.arange(len(order)), length).astype(np.int64),
    )


@dataclass(frozen=True)
class _Person:
    """What stays the same for one subject."""

    pace: float  # factor of every cadence
    size: np.ndarray  # [devices], factor of swings
    vigour: float  # factor of bounce and impact
    habit: np.ndarray  # [devices], posture's own tilt, rad
    length: np.ndarray  # [devices], m from joint to sensor
    mounting: np.ndarray  # [devices, 3, 3], rotation body -> sensor
    gain: np.ndarray  # [devices, 2], of acc and gyro
    bias: np.ndarray  # [devices, 3], of the gyroscope, rad/s
    distraction: np.ndarray  # [devices], chance a bout's arm does something else

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> _Person:
        n = len(DEVICES)
        body = rng.normal(1, 0.07)
        return cls(
            pace=float(np.exp(rng.normal(0, 0.1)) / np.sqrt(body)),
            size=np.exp(rng.normal(0, 0.2, n)),
            vigour=float(np.exp(rng.normal(0, 0.3))),
            habit=rng.normal(0, 0.1, n),
            length=body * np.array([0.15, 0.45, 0.45, 0.40, 0.40]),
            mounting=np.stack([_rotation(rng.normal(0, 0.1, 3)) for _ in range(n)]),
            gain=1 + rng.normal(0, 0.06, (n, 2)),
            bias=rng.normal(0, 0.03, (n, 3)),
            distraction=np.array([0.0, *rng.uniform(0.1, 0.4, 2), 0.0, 0.0]),
        )

    def bout(
        self, motion: _Motion, samples: int, rate: float, rng: np.random.Generator
    ) -> np.ndarray:
        """float64 [T, devices, 6] of one bout."""
        step = 1 / rate
        cadence = motion.cadence * self.pace * np.exp(rng.normal(0, 0.08))
        speed = cadence * (1 + 0.12 * _wander(samples, rate, 3.0, rng))
        phase = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(speed) * step
        effort = np.exp(0.15 * rng.normal() + 0.15 * _wander(samples, rate, 4.0, rng))

        per_device = np.array([0, 1, 1, 2, 2])
        lead = np.asarray(motion.lead) + rng.normal(0, 0.15, len(DEVICES))
        swing = np.asarray(motion.swing)[per_device] * self.size
        tilt = np.asarray(motion.tilt)[per_device] + self.habit + rng.normal(0, 0.08, len(DEVICES))
        bounce = self.vigour * effort * motion.bounce * np.cos(2 * phase + 0.4)
        signals = np.empty((samples, len(DEVICES), 6))
        for device in range(len(DEVICES)):
            own = phase + lead[device]  # T
            angle = tilt[device] + effort * swing[device] * (
                np.sin(own) + 0.3 * np.sin(2 * own + 0.7) + 0.1 * np.sin(3 * own + 1.9)
            )
            heave = bounce.copy()
            if device not in _ARMS:
                # A foot strikes once a cycle: a sharp pulse at the leg, damped at the torso.
                strength = motion.impact * self.vigour * (0.3 if device == 0 else 1.0)
                heave += effort * strength * np.exp(-8 * (1 - np.cos(own - 0.9)))
            elif rng.random() < self.distraction[device]:
                angle, heave = _distracted(angle, heave, rate, rng)
            roll = 0.15 * rng.normal() + 0.05 * _wander(samples, rate, 2.0, rng)
            angle = angle + 0.03 * _wander(samples, rate, 1.0, rng)
            signals[:, device] = self._sensed(device, angle, roll, heave, step, rng)
        return signals

    def _sensed(
        self,
        device: int,
        angle: np.ndarray,
        roll: np.ndarray,
        heave: np.ndarray,
        step: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """[T, 6]: what the sensor on a limb at ``angle`` reads; x forward, y left, z along it."""
        spin = np.gradient(angle, step)  # rad/s about y
        up = GRAVITY + heave
        arm = self.length[device]
        acc = np.stack(
            [
                up * np.sin(angle) * np.cos(roll) + arm * np.gradient(spin, step),
                up * np.sin(roll),
                up * np.cos(angle) * np.cos(roll) - arm * spin**2,
            ],
            axis=1,
        )
        gyro = np.stack([np.gradient(roll, step), spin, 0.2 * spin], axis=1)
        acc = self.gain[device, 0] * acc @ self.mounting[device].T
        gyro = self.gain[device, 1] * gyro @ self.mounting[device].T + self.bias[device]
        noise = rng.normal(0, 1, (len(angle), 6)) * np.array([0.25] * 3 + [0.06] * 3)
        signals: np.ndarray = np.concatenate([acc, gyro], axis=1) + noise
        return signals


def _distracted(
    angle: np.ndarray, heave: np.ndarray, rate: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """An arm that for a part of the bout carries a load (hangs still) or holds a phone (raised)."""
    samples = len(angle)
    begin, end = np.sort(rng.integers(0, samples + 1, 2))
    busy = np.zeros(samples)
    busy[begin:end] = 1
    ramp = max(1, round(0.5 * rate))  # s of moving the arm there and back
    busy = np.convolve(busy, np.full(ramp, 1 / ramp), mode="same")
    target, activity = ((0.0, 0.05), (1.1, 0.15))[rng.integers(2)]
    other = target + 0.2 * rng.normal() + activity * _wander(samples, rate, 0.5, rng)
    return (1 - busy) * angle + busy * other, (1 - 0.3 * busy) * heave


def _wander(samples: int, rate: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """[T] of mean 0 and standard deviation 1 that forgets itself over about ``seconds``."""
    width = max(3, round(seconds * rate))
    kernel = np.hanning(width + 2)[1:-1]
    kernel /= np.linalg.norm(kernel)
    walk: np.ndarray = np.convolve(rng.normal(0, 1, samples + width - 1), kernel, mode="valid")
    return walk


def _rotation(turn: np.ndarray) -> np.ndarray:
    """[3, 3] of a rotation vector [3], by Rodrigues' formula."""
    angle = np.linalg.norm(turn)
    x, y, z = turn / angle
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation: np.ndarray = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
    return rotation


def write_simulated(folder: Path, *, seed: int = 0) -> None:
    """``recordings.parquet``: six wearers, half a minute an activity, a sample a row."""
    found = simulate(subjects=6, minutes_per_activity=0.5, seed=seed)
    names = np.array(found.activities)
    frames = [
        pl.DataFrame(
            {
                "subject": [recording.subject] * len(recording.signals),
                "device": [device] * len(recording.signals),
                "time": recording.start + np.arange(len(recording.signals)) / recording.rate,
                **dict(zip(CHANNELS, recording.signals[:, number].T, strict=True)),
                "activity": names[recording.activity],
            }
        )
        for recording in found.recordings
        for number, device in enumerate(recording.devices)
    ]
    with replacing(folder / "recordings.parquet") as beside:
        pl.concat(frames).write_parquet(beside)
