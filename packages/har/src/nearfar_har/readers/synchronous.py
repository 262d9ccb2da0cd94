"""Files in which one row holds one moment of all devices, and its label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearfar_har.clock import Stream, in_order, labels_on, on_one_clock
from nearfar_har.recording import CHANNELS, Recording
from nearfar_kit.errors import UserError

__all__ = ["bouts", "of_subjects", "synchronous_recording"]


def synchronous_recording(
    file: Path,
    subject: str,
    session: str,
    devices: tuple[str, ...],
    time: np.ndarray,
    values: np.ndarray,
    activity: np.ndarray,
    rate: float,
    *,
    max_gap: float,
    by_bout: bool,
) -> Recording:
    """Rows at ``time`` [n] seconds with ``values`` [n, devices * 6] on an even clock.

    Args:
        activity: int64 [n], -1 unlabelled.
        by_bout: each stretch of one activity is a segment; else the whole file is one.
    """
    stream = in_order(Stream(time, values, str(file)))
    width = len(CHANNELS)
    # Device by device: a gap of one is none of the others.
    parts = [
        (
            Stream(stream.time, stream.values[:, width * d : width * (d + 1)], stream.name),
            d,
            slice(None),
        )
        for d in range(len(devices))
    ]
    signals, start = on_one_clock(parts, len(devices), rate, max_gap)
    label = labels_on(time, activity, start, len(signals), rate, max_gap)
    segment = bouts(label) if by_bout else np.zeros(len(label), dtype=np.int64)
    return Recording(subject, session, rate, devices, signals, label, segment, start)


def bouts(activity: np.ndarray) -> np.ndarray:
    """int64 [T]: 0, 1, ... that rises at each change of activity."""
    return np.cumsum(np.diff(activity, prepend=activity[:1]) != 0).astype(np.int64)


def of_subjects(
    files: Sequence[Path], name: re.Pattern[str], subjects: Sequence[str] | None, layout: str
) -> list[tuple[Path, re.Match[str]]]:
    """Files whose names match, with the match; only those of ``subjects`` (its group "subject")."""
    found = [(file, match) for file in files if (match := name.fullmatch(file.name))]
    if subjects is None:
        return found
    kept = [(file, match) for file, match in found if match["subject"] in subjects]
    if not kept:
        known = sorted({match["subject"] for _, match in found})
        raise UserError(
            f"{layout}: none of the subjects {list(subjects)}; expected some of {known}"
        )
    return kept
