"""Paths that a data set's rows name, held within its root."""

from __future__ import annotations

import os
from pathlib import Path

from nearfar_kit.errors import UserError

__all__ = ["inside"]


def inside(root: Path, text: str, where: str) -> Path:
    """``text``, relative to ``root`` or absolute, as a path that lies in ``root``.

    The rule is one of names: a link that lies in the folder is followed, for whoever laid out the
    folder put it there; ``..`` and absolute paths, which a row can hold, lead nowhere else.

    Args:
        where: file and row, for the error.

    Raises:
        UserError: it leads out of ``root``, or is no path.
    """
    if not text or "\0" in text:
        raise UserError(f"{where}: path is {text!r}; expected the path of a WAV or FLAC file")
    base = Path(os.path.abspath(root))
    full = Path(os.path.abspath(base / text))
    if not full.is_relative_to(base):
        raise UserError(
            f"{where}: path {text} leads out of {root}; expected one inside, or a data_root that "
            "holds it"
        )
    return root / full.relative_to(base)
