"""From a path to windows, as the settings cut them; and which subjects are held out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from nearfar_har.readers import LAYOUTS, find_layout, read
from nearfar_har.readers.table import UNNAMED
from nearfar_har.recording import Collection
from nearfar_har.settings import HarSettings
from nearfar_har.windows import Windows, cut_windows
from nearfar_kit import layouts
from nearfar_kit.errors import UserError

__all__ = [
    "check_trained", "data_sets", "held_out_subjects", "read_options", "recordings_from",
    "windows_from", "windows_of",
]  # fmt: skip


def read_options(items: Sequence[str] | None) -> dict[str, Any]:
    """``--read key=value`` as the reader takes them; ``columns.time=ts`` fills a mapping, and
    subjects are parted by commas."""
    options: dict[str, Any] = {}
    for item in items or ():
        key, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--read {item}: expected key=value")
        name, dot, inner = key.partition(".")
        if dot:
            options.setdefault(name, {})[inner] = text
        elif name == "subjects":  # names, though they look like numbers
            options[name] = [subject.strip() for subject in text.split(",")]
        else:
            options[name] = yaml.safe_load(text)
    return options


def recordings_from(
    path: Path,
    *,
    layout: str | None = None,
    options: dict[str, Any] | None = None,
    rate: float | None = None,
    labelled: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Collection:
    """Recordings of a data set.

    Args:
        options: the reader's own.
        rate: Hz to resample to, where the layout's reader can.
        labelled: activities are needed.
        tell: gets each note of the reader.

    Raises:
        UserError: there is none of a known layout, it has a fault, or names no activities where
            they are needed.
    """
    options = dict(options or {})
    if not path.exists():
        raise UserError(f"--data {path}: no such file or folder; expected a data set")
    layout = layout or find_layout(path)
    if rate is not None and layout in LAYOUTS:
        parameters = inspect.signature(LAYOUTS[layout].reader).parameters
        if "rate" in parameters:
            options.setdefault("rate", rate)
    collection = replace(read(path, layout, **options), name=str(path))
    if tell is not None:
        for note in collection.notes:
            tell(note)
    if labelled and collection.unlabelled:
        raise UserError(f"{path}: {collection.unlabelled}")
    return collection


def windows_of(recordings: Collection, settings: HarSettings) -> Windows:
    """Recordings cut as the settings say."""
    return cut_windows(recordings, settings.window_seconds, settings.overlap, settings.purity)


def windows_from(path: Path, settings: HarSettings, **how: Any) -> Windows:
    """Windows of a data set, read as :func:`recordings_from` does and cut as the settings say."""
    return windows_of(recordings_from(path, **how), settings)


def data_sets(path: Path) -> dict[str, Path]:
    """The data sets at ``path``: itself, or each file and folder in it of a known layout."""
    return {_name(found): found for found in layouts.data_sets(LAYOUTS, path, files=True)}


def _name(path: Path) -> str:
    """A set is called the same whichever of its layouts it lies in."""
    return find_layout(path).removesuffix("_npz")


def held_out_subjects(windows: Windows, named: Sequence[str] | None) -> list[str]:
    """The subjects to test on: those named, none for ``none``, else the last fifth.

    Raises:
        UserError: there is one subject only, or nobody would be left to train on.
    """
    if named == ["none"]:
        return []
    if named:
        return list(named)
    if len(windows.subjects) < 2:
        (only,) = windows.subjects
        unnamed = " (--read columns.subject=NAME says which column names them)"
        raise UserError(
            f"one subject only ({only}): nobody to test on; expected two or more"
            f"{unnamed if only == UNNAMED else ''}, or --hold-out none to train without a test"
        )
    return list(windows.subjects[-max(1, len(windows.subjects) // 5) :])


def check_trained(
    recordings: Collection, rest: Windows, test: Windows | None, settings: HarSettings
) -> str | None:
    """Whether every activity can be learnt: a note on those that cannot, though they occur.

    Args:
        recordings: what both were cut from.
        rest: windows to train on. test: those held out.

    Raises:
        UserError: an activity of ``test`` has no window in ``rest``. It could only be told wrongly,
            and it is better to say so before hours of training.
    """
    learnt = set(rest.activity.tolist())
    tested = set() if test is None else set(test.activity.tolist()) - {-1}
    longest = _longest_stretches(recordings, {rest.subjects[s] for s in set(rest.subject.tolist())})
    names = rest.activities
    cut_up = {a: seconds for a, seconds in longest.items() if a not in learnt}
    told = (
        f"no window of the training subjects is at least {settings.purity:.0%} "
        + " or ".join(f"{names[a]} (longest stretch {s:.2g} s)" for a, s in cut_up.items())
        + f"; expected windows shorter than {settings.window_seconds:g} s, --set "
        "window_seconds=..., or of less of one activity, --set purity=0.5"
    )
    if lacking := tested & cut_up.keys():
        raise UserError(f"activity {', '.join(names[a] for a in sorted(lacking))}: {told}")
    if alone := tested - learnt:
        raise UserError(
            f"activity {', '.join(names[a] for a in sorted(alone))}: occurs only among the "
            "subjects held out; expected every activity to be trained on, choose others with "
            "--hold-out"
        )
    # Where nothing at all is labelled, training has its own word for it.
    return f"not learnt: {told}" if cut_up and learnt - {-1} else None


def _longest_stretches(recordings: Collection, subjects: set[str]) -> dict[int, float]:
    """Seconds of the longest unbroken stretch of each activity that these subjects did."""
    found: dict[int, float] = {}
    for one in recordings.recordings:
        if one.subject in subjects:
            new = (np.diff(one.activity) != 0) | (np.diff(one.segment) != 0)
            edges = np.concatenate([[0], np.flatnonzero(new) + 1, [len(one)]])
            for activity, samples in zip(one.activity[edges[:-1]], np.diff(edges), strict=True):
                if activity >= 0:
                    known = found.get(int(activity), 0.0)
                    found[int(activity)] = max(known, float(samples) / one.rate)
    return dict(sorted(found.items()))
