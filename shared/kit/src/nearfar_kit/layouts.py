"""Layouts: how a data set lies on disk, found by its look, and who reads it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from nearfar_kit.errors import UserError

__all__ = ["Layout", "data_sets", "find_layout", "layout_of", "set_name"]

T = TypeVar("T")


@dataclass(frozen=True)
class Layout(Generic[T]):
    """What shows a layout, and who reads it.

    Attributes:
        looked_for: an example of what shows it, for errors.
        reader: takes the path, and options of its own by name.
    """

    looked_for: str
    fits: Callable[[Path], bool]
    reader: Callable[..., T]


def find_layout(layouts: Mapping[str, Layout[T]], path: Path) -> str:
    """The name of the first layout that fits.

    Raises:
        UserError: none does; told is what was looked for, or what in the folder is a data set.

    Example:
        >>> find_layout({"folder": Layout("a folder", Path.is_dir, list)}, Path("."))
        'folder'
    """
    name = _fitting(layouts, path)
    if name is None:
        inside = next((child for child in _children(path) if _fitting(layouts, child)), None)
        if inside is not None:
            kind = "folder" if inside.is_dir() else "file"
            raise UserError(
                f"{path}: no known layout; expected one {kind} of what lies in it, as {inside}"
            )
        looked_for = "; ".join(f"{name}: {layout.looked_for}" for name, layout in layouts.items())
        raise UserError(f"{path}: no known layout; looked for {looked_for}")
    return name


def _children(path: Path) -> list[Path]:
    """What lies in a folder, but for what is hidden; nothing in a file."""
    children = sorted(path.iterdir()) if path.is_dir() else []
    return [child for child in children if not child.name.startswith(".")]


def _fitting(layouts: Mapping[str, Layout[T]], path: Path) -> str | None:
    return next((name for name, layout in layouts.items() if layout.fits(path)), None)


def data_sets(layouts: Mapping[str, Layout[T]], path: Path, *, files: bool = False) -> list[Path]:
    """The data sets at ``path``: itself, or, of a folder of data sets, those in it.

    A folder in which others are of several layouts holds data sets, even where it looks like one
    itself, as a reader may find its files some folders down.

    Args:
        files: whether a file in a folder that no layout fits may be a data set, too.

    Raises:
        UserError: nothing is there, or a folder holds none, or two of one name.
    """
    if not path.exists():
        raise UserError(f"--data {path}: no such file or folder; expected a data set")
    inside = {child: name for child in _children(path) if (name := _fitting(layouts, child))}
    folders = [child for child in inside if child.is_dir()]
    if len({inside[child] for child in folders}) < 2 and _fitting(layouts, path):
        return [path]
    found = list(inside) if files else folders
    if not found:
        find_layout(layouts, path)  # tells what was looked for
    named: dict[str, Path] = {}
    for child in found:
        if (other := named.setdefault(set_name(child), child)) is not child:
            raise UserError(f"{path}: {other.name} and {child.name} are of one name; expected one")
    return found


def set_name(path: Path) -> str:
    """What a data set is called in tables: its folder's name, or its file's without the ending.

    Example:
        >>> set_name(Path("shops/beauty.csv")), set_name(Path("reads.fasta.gz"))
        ('beauty', 'reads')
    """
    named = Path(os.path.abspath(path))  # "." has no name
    return named.name if path.is_dir() else Path(named.name.removesuffix(".gz")).stem


def layout_of(
    layouts: Mapping[str, Layout[T]],
    path: Path,
    name: str | None = None,
    options: Iterable[str] = (),
    *,
    expected: str = "a data set",
) -> Layout[T]:
    """The layout to read ``path`` by, whose reader takes all of ``options``.

    Args:
        name: None: the first that fits.
        expected: what should lie at ``path``, for the error.

    Raises:
        UserError: nothing is there, nothing fits, an unknown layout or option.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; expected {expected}")
    if name is None:
        name = find_layout(layouts, path)
    elif name not in layouts:
        raise UserError(f"layout {name!r} is unknown; expected one of {', '.join(layouts)}")
    known = list(inspect.signature(layouts[name].reader).parameters)[1:]
    for option in options:
        if option not in known:
            told = f"expected some of {', '.join(known)}" if known else "it has none"
            raise UserError(f"{path}: layout {name} has no option {option!r}; {told}")
    return layouts[name]
