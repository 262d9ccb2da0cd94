"""Layouts: how a data set lies on disk, found by its look, and who reads it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from nearfar_kit.errors import UserError

__all__ = ["Layout", "find_layout", "layout_of"]

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
    """The name of the first layout that fits; UserError, with what was looked for, where none does.

    Example:
        >>> find_layout({"folder": Layout("a folder", Path.is_dir, list)}, Path("."))
        'folder'
    """
    for name, layout in layouts.items():
        if layout.fits(path):
            return name
    looked_for = "; ".join(f"{name}: {layout.looked_for}" for name, layout in layouts.items())
    raise UserError(f"{path}: no known layout; looked for {looked_for}")


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
