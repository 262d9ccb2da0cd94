"""Paths that a stranger's table or list names, held within its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_kit.settings import in_short

__all__ = ["inside"]


def inside(root: Path, text: Any, where: str, *, hint: str = "") -> Path:
    """``text``, relative to ``root`` or absolute, as a path that lies in ``root``.

    The rule is one of names: a link that lies in the folder is followed, for whoever laid out the
    folder put it there; ``..`` and absolute paths, which a row can hold, lead nowhere else.

    Args:
        where: file and row, for the error.
        hint: what else one may do about a path that leads out.

    Raises:
        UserError: it leads out of ``root``, or is no path.
    """
    if not isinstance(text, str) or not text or "\0" in text:
        raise UserError(f"{where}: path is {in_short(text)}; expected the path of a file")
    base = Path(os.path.abspath(root))
    full = Path(os.path.abspath(base / text))
    if not full.is_relative_to(base):
        raise UserError(f"{where}: path {text} leads out of {root}; expected one inside{hint}")
    return root / full.relative_to(base)
