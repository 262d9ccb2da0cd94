"""A user's own table, CSV or Parquet: one row a device's sample.

Columns: time, device, acc_x, acc_y, acc_z, gyro_x, gyro_y, gyro_z; subject, session and activity
where known. Devices may have clocks, rates and gaps of their own. A folder of such tables is read
as one; without a column of subjects each of its files is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from nearfar_har.clock import (
    TIME_UNITS,
    Stream,
    acc_factor,
    fast_turns,
    gyro_factor,
    in_order,
    labels_on,
    on_one_clock,
    sessions,
    time_unit,
)
from nearfar_har.recording import CHANNELS, Collection, Recording
from nearfar_kit.errors import UserError
from nearfar_kit.frames import read_frame
from nearfar_kit.layouts import set_name

__all__ = ["UNNAMED", "is_table", "read_table", "tables_in"]

UNNAMED = "unnamed"  # the one subject of a file that names none
_ENDINGS = (".csv", ".parquet", ".pq")

_NAMES = ("device", "subject", "session", "activity")
_ABSENT = ["", "NaN", "nan", "NA", "null", "None"]
_ROW = "row number in the file"
_TIME = "time as the file has it"


def read_table(
    path: Path,
    columns: Mapping[str, str] | None = None,
    subjects: Sequence[str] | None = None,
    rate: float | None = None,
    time: str | None = None,
    acc_unit: str | None = None,
    gyro_unit: str = "rad/s",
    max_gap: float = 0.2,
    silence: float = 60.0,
) -> Collection:
    """A long table as recordings: one a subject, session, and stretch between long silences.

    A folder's tables may differ in their devices, activities and units; a session is of one file.

    Args:
        columns: our names to the file's, where they differ: {"time": "timestamp"}.
        rate: Hz of the common clock; None: the slowest device's own, to the nearest whole number.
        time: unit s, ms, us or ns; None: found from the steps. Dates and times are read as such.
        acc_unit: m/s2, g or mg; None: found from gravity.
        gyro_unit: rad/s or deg/s.
        max_gap: s; shorter gaps of a device are interpolated.
        silence: s; when no device has a sample for longer, a new recording begins.
    """
    path = Path(path)
    mapped = dict(columns or {})
    files = tables_in(path) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: holds no table; expected .csv or .parquet files")
    tables, without, missing = {}, {}, {}
    for file in files:
        alone = UNNAMED if len(files) == 1 else file.stem
        tables[file], lacks = _loaded(file, mapped, alone)
        if "subject" in lacks.names:
            without[file] = lacks
        if "activity" in lacks.names:
            missing[file] = lacks
    if subjects is not None:
        known = list(_values(tables, "subject"))
        own = {f: t.filter(pl.col("subject").is_in(list(subjects))) for f, t in tables.items()}
        tables = {file: table for file, table in own.items() if len(table)}
        if not tables:
            raise UserError(f"{path}: none of the subjects {list(subjects)}; expected of {known}")
    devices, activities = _values(tables, "device"), _values(tables, "activity")
    runs = []
    notes = [*_below(path), *_notes(path, without)]
    for file, table in tables.items():
        second = _seconds_of(table, file, time)
        scale, fast = _scales(table, file, acc_unit, gyro_unit)
        notes += fast
        for (subject, session), rows in _groups(table, ["subject", "session"]):
            session = session if len(files) == 1 else f"{file.stem}-{session}"
            try:
                streams = _streams(rows, file, scale, second)
            except UserError as error:
                # Several people's clocks run back where one ends and the next begins.
                hint = f"; {_named_by([without[file]])}" if file in without else ""
                raise UserError(f"{error}{hint}") from None
            runs.append((subject, session, rows, second, streams))
    rate = rate or _common_rate([s for *_, streams in runs for s in streams.values()], path)
    recordings = []
    for subject, session, rows, second, streams in runs:
        label_time, label = _labels(rows, activities, second)
        place = {stream.name: devices.index(device) for device, stream in streams.items()}
        for number, part in enumerate(sessions(list(streams.values()), silence), start=1):
            parts = [(s, place[s.name], slice(None)) for s in part]
            signals, start = on_one_clock(parts, len(devices), rate, max_gap)
            activity = labels_on(label_time, label, start, len(signals), rate, max_gap)
            segment = np.zeros_like(activity)
            name = f"{session}-{number}"
            recordings.append(
                Recording(subject, name, rate, devices, signals, activity, segment, start)
            )
    # One file with activities is enough to learn from.
    unlabelled = next(iter(missing.values())).told() if len(missing) == len(files) else ""
    return Collection(
        set_name(path), tuple(recordings), activities, devices, tuple(notes), unlabelled
    )


def is_table(path: Path) -> bool:
    """Whether a file's name ends as those of tables do, and is not an editor's or the system's."""
    return path.is_file() and path.suffix.lower() in _ENDINGS and not path.name.startswith(".")


def _below(path: Path) -> list[str]:
    """A line of the tables in folders of this one, which are not read."""
    below = (
        [p for p in path.rglob("*") if is_table(p) and p.parent != path] if path.is_dir() else []
    )
    if not below:
        return []
    return [
        f"{path}: {len(below)} tables in folders below it are not read, such as "
        f"{min(below).relative_to(path)}"
    ]


def tables_in(folder: Path) -> list[Path]:
    """The tables that lie in a folder, by name."""
    return [path for path in sorted(folder.iterdir()) if is_table(path)]


@dataclass(frozen=True)
class _Lacks:
    """What a file has no column of, subject or activity, and all its columns, used or not."""

    names: tuple[str, ...]
    columns: tuple[str, ...]
    unused: tuple[str, ...]

    def told(self) -> str:
        """What to do where activities are needed."""
        return (
            f"no column 'activity'; the file has {', '.join(self.columns)}: "
            "--read columns.activity=NAME says which names the activities"
        )


def _notes(path: Path, without: Mapping[Path, _Lacks]) -> tuple[str, ...]:
    """That no column tells whose samples they are, of the files and their unused columns."""
    if not without:
        return ()
    whose = "all of it is taken as one, unnamed"
    if path.is_dir():
        stems = ", ".join(file.stem for file in without)
        whose = f"each file without one is taken as one subject by its name ({stems})"
    return (f"{path}: no column 'subject', {whose}; {_named_by(list(without.values()))}",)


def _named_by(files: Sequence[_Lacks]) -> str:
    """How to say which column names the subjects, of those that are not used."""
    unused = list(dict.fromkeys(name for lacks in files for name in lacks.unused))
    if not unused:
        return "where there are several, add a column 'subject'"
    left = f"columns not used: {', '.join(unused)}"
    if any("activity" in lacks.names for lacks in files):
        # Either may be what is left: no column is proposed for one of them.
        return (
            f"{left}; --read columns.subject=NAME says which column names the subjects, "
            "columns.activity=NAME the activities"
        )
    name = unused[0] if len(unused) == 1 else "NAME"
    return f"{left}; --read columns.subject={name} says which column names the subjects"


def _values(tables: Mapping[Path, pl.DataFrame], column: str) -> tuple[str, ...]:
    """Different values of a column of all tables, sorted."""
    found = {value for table in tables.values() for value in table[column].drop_nulls().unique()}
    return tuple(sorted(found))


def _loaded(path: Path, columns: dict[str, str], subject: str) -> tuple[pl.DataFrame, _Lacks]:
    """The file's columns under our names and in our types, checked, with their row numbers.

    Args:
        subject: whose the rows are that name none.

    Returns:
        The table, and what it lacks.
    """
    ours = ("time", *_NAMES, *CHANNELS)
    for name in columns:
        if name not in ours:
            raise UserError(f"column mapping names {name!r}; expected some of {', '.join(ours)}")
    table = read_frame(path)  # of text: a field that is no number can then be named
    wanted = {columns.get(name, name): name for name in ours}
    theirs = {name: column for column, name in wanted.items()}
    needed = ["time", "device", *CHANNELS[:3]]
    if any(theirs[name] in table.columns for name in CHANNELS[3:]):
        needed += CHANNELS[3:]  # a gyroscope has all of its axes
    needed += columns  # what is mapped is meant
    for name in needed:
        if theirs[name] not in table.columns:
            raise UserError(
                f"{path}: no column {theirs[name]!r} for {name}; the file has "
                f"{', '.join(table.columns)}: map it (--read columns.{name}=NAME) or add it"
            )
    if not len(table):
        raise UserError(f"{path}: has a header and no rows; expected samples")
    lacks = _Lacks(
        tuple(name for name in _NAMES if theirs[name] not in table.columns),
        tuple(table.columns),
        tuple(column for column in table.columns if column not in wanted),
    )
    table = table.select(pl.col(c).alias(wanted[c]) for c in table.columns if c in wanted)
    # The first line of a CSV is its header.
    first = 1 if path.suffix.lower() in (".parquet", ".pq") else 2
    table = table.with_row_index(_ROW, offset=first)
    return _typed(table, path, subject), lacks


def _typed(table: pl.DataFrame, path: Path, subject: str) -> pl.DataFrame:
    text = [name for name in table.columns if table[name].dtype == pl.String]
    table = table.with_columns(pl.col(text).str.strip_chars().replace(dict.fromkeys(_ABSENT)))
    table = _time_as_number(table.with_columns(pl.col("time").alias(_TIME)))
    for name in ("time", *CHANNELS):
        if name not in table.columns:
            continue
        number = table[name].cast(pl.Float64, strict=False)
        bad = (table[name].is_not_null() & number.is_null()) | number.is_infinite().fill_null(False)
        if name == "time":
            bad = bad | number.is_null() | number.is_nan().fill_null(False)
        if bad.any():
            at = int(bad.arg_max() or 0)
            found = table[name][at]
            told = " is empty" if found is None else f": {found!r}"
            raise UserError(
                f"{path}: row {table[_ROW][at]}, column {name}{told}; expected a number"
            )
        table = table.with_columns(number.alias(name))
    for name in _NAMES:
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, pl.String).alias(name))
        table = table.with_columns(pl.col(name).cast(pl.String))
    missing = table["device"].is_null()
    if missing.any():
        row = table[_ROW][int(missing.arg_max() or 0)]
        raise UserError(f"{path}: row {row}, column device is empty; expected a device's name")
    lacking = [pl.lit(None, pl.Float64).alias(c) for c in CHANNELS if c not in table.columns]
    unnamed = [pl.col("subject").fill_null(subject), pl.col("session").fill_null("session")]
    return table.with_columns(*lacking, *unnamed)


def _time_as_number(table: pl.DataFrame) -> pl.DataFrame:
    """Dates and times as UNIX ns; everything else as it is."""
    time = table["time"]
    if time.dtype == pl.String and time.cast(pl.Float64, strict=False).null_count() == len(time):
        parsed = pl.col("time").str.to_datetime(time_unit="ns", time_zone="UTC", strict=False)
        try:
            dated = table.with_columns(parsed)
        except pl.exceptions.PolarsError:
            return table  # not dates either: the check of numbers names the first
        if dated["time"].null_count() == time.null_count():
            table, time = dated, dated["time"]
    if isinstance(time.dtype, pl.Datetime):
        return table.with_columns(pl.col("time").dt.epoch("ns"))
    return table


def _groups(table: pl.DataFrame, by: list[str]) -> Iterator[tuple[tuple[str, ...], pl.DataFrame]]:
    """Rows of each combination of names, in the file's order; combinations sorted."""
    parts = table.partition_by(by, as_dict=True, maintain_order=True)
    for key in sorted(parts):
        yield key, parts[key]


def _seconds_of(table: pl.DataFrame, path: Path, unit: str | None) -> float:
    """Seconds of one unit of the time column."""
    if unit is not None:
        if unit not in TIME_UNITS:
            raise UserError(f"unit of time is {unit!r}; expected one of {', '.join(TIME_UNITS)}")
        return TIME_UNITS[unit]
    # The longest run of one device tells best; two rows with rising time it must have.
    runs = table.partition_by(["subject", "session", "device"], maintain_order=True)
    longest = max(runs, key=len)
    return TIME_UNITS[time_unit(longest["time"].to_numpy(), f"{path}: {longest['device'][0]}")]


def _scales(
    table: pl.DataFrame,
    path: Path,
    acc_unit: str | None,
    gyro_unit: str,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Factors [6] of each device to m/s^2 and rad/s; and a note where the latter are doubtful."""
    scales, turns = {}, {}
    gyro = gyro_factor(gyro_unit)
    for device in table["device"].unique().sort().to_list():
        own = table.filter(pl.col("device") == device).select(CHANNELS).to_numpy()
        name = f"{path}: device {device}"
        if not np.isfinite(own[:, :3]).any():
            raise UserError(f"{name}: acc_x, acc_y, acc_z hold no number; expected acceleration")
        acc = acc_factor(own[:, :3], name, acc_unit)
        turns[device] = own[:, 3:]
        scales[device] = np.array([acc] * 3 + [gyro] * 3)
    return scales, fast_turns(turns, str(path), gyro_unit)


def _streams(
    rows: pl.DataFrame,
    path: Path,
    scale: dict[str, np.ndarray],
    second: float,
) -> dict[str, Stream]:
    """Each device's samples of one session, in order."""
    streams = {}
    for (device,), own in _groups(rows, ["device"]):
        values = own.select(CHANNELS).to_numpy() * scale[device]
        name, numbers = f"{path}: device {device}", own[_ROW].to_numpy().astype(np.int64)
        # Its faults are told in the file's own words.
        stream = in_order(
            Stream(own["time"].to_numpy(), values, name, numbers, own[_TIME].__getitem__)
        )
        streams[device] = replace(stream, time=stream.time * second)
    return streams


def _common_rate(streams: Sequence[Stream], path: Path) -> float:
    steps = [float(np.median(np.diff(s.time))) for s in streams if len(s.time) > 1]
    if not steps:
        raise UserError(f"{path}: no device has two samples; expected a recording")
    return max(1.0, float(round(1 / max(steps))))


def _labels(
    rows: pl.DataFrame, activities: Sequence[str], second: float
) -> tuple[np.ndarray, np.ndarray]:
    """Times [n] in s, rising, and labels int64 [n] of all devices' rows; -1 where empty."""
    time = rows["time"].to_numpy() * second
    code = dict(zip(activities, range(len(activities)), strict=True))
    label = rows["activity"].replace_strict(code, default=-1, return_dtype=pl.Int64).to_numpy()
    order = np.argsort(time, kind="stable")
    return time[order], label[order]
