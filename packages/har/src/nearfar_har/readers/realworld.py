"""RealWorld HAR: seven phones and watches at 50 Hz, 8 activities, 15 subjects.

Sztyler, Stuckenschmidt: On-body localization of wearable devices: an investigation of
position-aware activity recognition, PerCom 2016.
"""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl

from nearfar_har.clock import TIME_UNITS, Stream, in_order, on_one_clock, sessions, time_unit
from nearfar_har.recording import Collection, Recording
from nearfar_kit.errors import UserError, first_line
from nearfar_kit.frames import check_text

__all__ = ["ACTIVITIES", "DEVICES", "read_realworld"]

DEVICES = ("chest", "forearm", "head", "shin", "thigh", "upperarm", "waist")
ACTIVITIES = (
    "climbingdown",
    "climbingup",
    "jumping",
    "lying",
    "running",
    "sitting",
    "standing",
    "walking",
)
_ARCHIVE = re.compile(rf"(acc|gyr)_({'|'.join(ACTIVITIES)})_csv\.zip")
# Some recordings came in parts: a number before the position, in zips within the zip or not.
_TABLE = re.compile(
    rf"(?P<sensor>acc|gyr|Gyroscope)_(?P<activity>{'|'.join(ACTIVITIES)})(_\d+)?"
    rf"_(?P<position>{'|'.join(DEVICES)})\.csv"
)
_CHANNELS = {"acc": slice(0, 3), "gyr": slice(3, 6), "Gyroscope": slice(3, 6)}
_SILENCE = 60.0  # s without any device: the next part is a recording of its own


def read_realworld(
    path: Path,
    subjects: Sequence[str] | None = None,
    rate: float = 50.0,
    max_gap: float = 0.2,
    max_bytes: int = 2**28,
) -> Collection:
    """``probandN/data/acc_walking_csv.zip`` and ``gyr_...`` or their unpacked files; proband1, ...

    The zips are read in place. Tables are id, attr_time (UNIX ms), attr_x, attr_y, attr_z in m/s^2
    and rad/s, a device and sensor each. Devices' clocks are taken as set alike.

    Args:
        max_bytes: refuse a member that unpacks to more, a guard against zip bombs.
    """
    root = Path(path)
    folders = {f.parent.parent.name: f.parent for f in sorted(root.rglob("proband*/data/*"))}
    if subjects is not None:
        folders = {name: folder for name, folder in folders.items() if name in subjects}
    recordings: list[Recording] = []
    for subject in sorted(folders):
        recordings += _subject(subject, folders[subject], rate, max_gap, max_bytes)
    if not recordings:
        raise UserError(
            f"{root}: no probandN/data/acc_walking_csv.zip or the like"
            f"{'' if subjects is None else f' of {list(subjects)}'}; expected the RealWorld layout"
        )
    return Collection("realworld", tuple(recordings), ACTIVITIES, DEVICES)


def _subject(
    subject: str, folder: Path, rate: float, max_gap: float, max_bytes: int
) -> list[Recording]:
    # activity -> (device, sensor's first channel) -> parts
    streams: dict[str, dict[tuple[int, int], list[Stream]]] = {}
    for name, match, content in _tables(folder, max_bytes):
        channels = _CHANNELS[match["sensor"]]
        key = (DEVICES.index(match["position"]), channels.start)
        own = streams.setdefault(match["activity"], {}).setdefault(key, [])
        own.append(_stream(name, content))
    recordings = []
    for activity, sensors in sorted(streams.items()):
        joined = {key: _joined(parts) for key, parts in sensors.items()}
        place = {stream.name: key for key, stream in joined.items()}
        for number, session in enumerate(sessions(list(joined.values()), _SILENCE), start=1):
            parts = [
                (s, place[s.name][0], slice(place[s.name][1], place[s.name][1] + 3))
                for s in session
            ]
            signals, start = on_one_clock(parts, len(DEVICES), rate, max_gap)
            label = np.full(len(signals), ACTIVITIES.index(activity), dtype=np.int64)
            recordings.append(
                Recording(
                    subject,
                    f"{activity}-{number}",
                    rate,
                    DEVICES,
                    signals,
                    label,
                    np.zeros_like(label),
                    start,
                )
            )
    return recordings


def _joined(parts: list[Stream]) -> Stream:
    """Parts of one device and sensor one after the other."""
    parts = sorted(parts, key=lambda s: float(s.time[0]))
    for one, two in itertools.pairwise(parts):
        if two.time[0] < one.time[-1]:
            raise UserError(
                f"{two.name}: starts before {one.name} ends; expected parts apart in time"
            )
    time = np.concatenate([s.time for s in parts])
    return Stream(time, np.concatenate([s.values for s in parts]), parts[0].name)


def _tables(folder: Path, max_bytes: int) -> Iterator[tuple[str, re.Match[str], bytes]]:
    """Name, matched file name and content of each table in the folder or its zips."""
    for file in sorted(folder.rglob("*")):
        if match := _TABLE.fullmatch(file.name):
            yield str(file), match, file.read_bytes()
        elif _ARCHIVE.fullmatch(file.name):
            yield from _members(str(file), file.read_bytes(), max_bytes, depth=2)


def _members(
    name: str, content: bytes, max_bytes: int, depth: int
) -> Iterator[tuple[str, re.Match[str], bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                inside = PurePosixPath(info.filename.replace("\\", "/"))
                if inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
                    raise UserError(f"{name}: member {info.filename!r} leaves the archive; refused")
                match = _TABLE.fullmatch(inside.name)
                nested = inside.suffix == ".zip" and depth > 1
                if not match and not nested:
                    continue
                with archive.open(info) as member:
                    # The stated size may lie, so what comes out is counted.
                    data = member.read(max_bytes + 1)
                if len(data) > max_bytes:
                    raise UserError(
                        f"{name}: member {info.filename!r} unpacks to more than {max_bytes} bytes; "
                        "refused"
                    )
                if match:
                    yield f"{name}: {inside.name}", match, data
                else:
                    yield from _members(f"{name}: {inside.name}", data, max_bytes, depth - 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise UserError(f"{name}: not a readable zip ({error})") from error


def _stream(name: str, content: bytes) -> Stream:
    columns = ["attr_time", "attr_x", "attr_y", "attr_z"]
    types = dict.fromkeys(columns, pl.Float64)
    check_text(content, name)
    try:
        table = pl.read_csv(content, columns=columns, schema_overrides=types)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(
            f"{name}: not a table of {', '.join(columns)} with numbers ({first_line(error)})"
        ) from error
    if not len(table):
        raise UserError(f"{name}: has no rows; expected samples")
    time = table["attr_time"].cast(pl.Float64).to_numpy()
    values = table.select(pl.col(columns[1:]).cast(pl.Float64)).to_numpy()
    # Row 1 of the file is its header.
    rows = np.arange(2, len(time) + 2)
    seconds = time * TIME_UNITS[time_unit(time, name)]
    return in_order(Stream(seconds, values, name, rows))
