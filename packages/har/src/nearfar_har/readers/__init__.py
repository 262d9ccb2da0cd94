"""Readers: a data set's folder or file to a ``Collection``, its layout found by its look."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nearfar_har.readers.dsads import read_dsads, read_dsads_npz
from nearfar_har.readers.geotec import read_geotec
from nearfar_har.readers.mhealth import NAME as MHEALTH_FILE
from nearfar_har.readers.mhealth import read_mhealth
from nearfar_har.readers.opportunity import NAME as OPPORTUNITY_FILE
from nearfar_har.readers.opportunity import read_opportunity
from nearfar_har.readers.pamap2 import NAME as PAMAP2_FILE
from nearfar_har.readers.pamap2 import read_pamap2
from nearfar_har.readers.realworld import read_realworld
from nearfar_har.readers.table import is_table, read_table, tables_in
from nearfar_har.recording import Collection
from nearfar_har.windows import Windows, cut_windows, load_npz
from nearfar_kit import layouts
from nearfar_kit.errors import UserError
from nearfar_kit.layouts import Layout, layout_of

__all__ = ["LAYOUTS", "find_layout", "read", "read_windows"]


def _holds(*patterns: str) -> Callable[[Path], bool]:
    """A folder with a file of these patterns in it, or up to two folders down."""

    def fits(path: Path) -> bool:
        deeper = ("", "*/", "*/*/")
        return path.is_dir() and any(
            next(path.glob(down + pattern), None) is not None
            for pattern in patterns
            for down in deeper
        )

    return fits


def _named(pattern: Any, folder: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """Such a folder, or one file whose name is of the set."""
    return lambda path: bool(path.is_file() and pattern.fullmatch(path.name)) or folder(path)


def _arrays(path: Path) -> set[str]:
    """Names of the arrays in an .npz, without reading them."""
    if not path.is_file() or path.suffix != ".npz":
        return set()
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def _has_tables(path: Path) -> bool:
    """A table, or a folder of tables; one with arrays beside them holds several sets."""
    if not path.is_dir():
        return is_table(path)
    return bool(tables_in(path)) and next(path.glob("*.npz"), None) is None


LAYOUTS = {
    "dsads": Layout("a01/p1/s01.txt", _holds("a[0-9][0-9]/p[0-9]*/s[0-9]*.txt"), read_dsads),
    "dsads_npz": Layout(
        "an .npz with an array imu", lambda path: "imu" in _arrays(path), read_dsads_npz
    ),
    "geotec": Layout(
        "an .npz with label_names and sXX_YY_sp_x",
        lambda path: "label_names" in _arrays(path),
        read_geotec,
    ),
    "pamap2": Layout(
        "subject101.dat",
        _named(PAMAP2_FILE, _holds("subject[0-9][0-9][0-9].dat")),
        read_pamap2,
    ),
    "mhealth": Layout(
        "mHealth_subject1.log",
        _named(MHEALTH_FILE, _holds("mHealth_subject*.log")),
        read_mhealth,
    ),
    "opportunity": Layout(
        "S1-ADL1.dat",
        _named(OPPORTUNITY_FILE, _holds("S[0-9]-ADL[0-9].dat", "S[0-9]-Drill.dat")),
        read_opportunity,
    ),
    "realworld": Layout(
        "proband1/data/acc_walking_csv.zip", _holds("proband*/data/*acc_*"), read_realworld
    ),
    "table": Layout("a .csv or .parquet file, or a folder of them", _has_tables, read_table),
}


def read(path: Path | str, layout: str | None = None, **options: Any) -> Collection:
    """A data set in any known layout.

    Args:
        layout: a name of ``LAYOUTS``; None: the first that fits what lies at ``path``.
        options: the reader's own; ``subjects``, ``rate`` and ``max_gap`` are common.

    Raises:
        UserError: nothing fits, an unknown layout or option, or a fault in the data.
    """
    path = Path(path)
    if layout is None:
        _refuse_windows(path)
    return layout_of(LAYOUTS, path, layout, options).reader(path, **options)


def read_windows(
    path: Path | str,
    layout: str | None = None,
    seconds: float = 2.0,
    overlap: float = 0.0,
    **options: Any,
) -> Windows:
    """Windows saved by ``save_npz``, as they are, or cut from a data set that ``read`` reads."""
    if layout is None and _are_windows(Path(path)):
        return load_npz(Path(path))
    return cut_windows(read(path, layout, **options), seconds, overlap)


def _are_windows(path: Path) -> bool:
    return {"format", "signals"} <= _arrays(path)


def _refuse_windows(path: Path) -> None:
    if _are_windows(path):
        raise UserError(f"{path}: holds windows, not recordings; expected a data set to cut")


def find_layout(path: Path) -> str:
    """The name of the layout at ``path``; UserError, with what was looked for, where none fits."""
    _refuse_windows(path)
    return layouts.find_layout(LAYOUTS, path)
