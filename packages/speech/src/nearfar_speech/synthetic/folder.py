"""A folder that is there whole or not at all, and says that what it holds is synthetic."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nearfar_kit.errors import UserError

__all__ = ["new_folder"]

NOTE = "Synthetic speech, made by nearfar-speech with eSpeak NG: no recording of a person.\n"


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` to write into, which takes its name when all is written.

    Raises:
        UserError: ``folder`` holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; expected a new or an empty folder")
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        (beside / "SYNTHETIC.txt").write_text(NOTE, encoding="utf-8")
        yield beside
        if folder.is_dir():
            folder.rmdir()
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
