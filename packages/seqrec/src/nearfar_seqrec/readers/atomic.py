"""RecBole's atomic files: ``NAME.inter``, tabs, a header ``user_id:token item_id:token ...``."""

from __future__ import annotations

import glob
from pathlib import Path

from nearfar_kit.errors import UserError
from nearfar_kit.frames import read_frame
from nearfar_kit.layouts import set_name
from nearfar_seqrec.readers.table import from_frame
from nearfar_seqrec.readers.times import First
from nearfar_seqrec.sequences import Sequences

__all__ = ["is_atomic", "read_atomic"]


def is_atomic(path: Path) -> bool:
    return path.suffix.lower() == ".inter" or _inside(path).exists()


def _inside(folder: Path) -> Path:
    """Where the ``.inter`` file of a folder, called as it, lies, or would."""
    named = folder / f"{set_name(folder)}.inter"
    endings = folder.glob(f"{glob.escape(named.stem)}.[iI][nN][tT][eE][rR]")
    return named if named.exists() else next(endings, named)


def read_atomic(
    path: Path, user: str = "user_id", item: str = "item_id", time: str = "timestamp",
    first: First | None = None,
) -> Sequences:  # fmt: skip
    """The interactions of a ``.inter`` file, or of a folder that has one of its own name.

    Args:
        user, item, time: names of the fields, without their type.
        first: as of :func:`nearfar_seqrec.readers.table.read_table`.

    Raises:
        UserError: a field is missing or of the wrong type, a row has other fields than the header.
    """
    file = _inside(path) if path.is_dir() else path
    frame = read_frame(file, separator="\t", quote=None)
    kinds = dict(name.rpartition(":")[::2] for name in frame.columns)
    for name, kind in ((user, "token"), (item, "token"), (time, "float")):
        if name not in kinds:
            raise UserError(
                f"{file}: its header has no field {name}:{kind}; found {', '.join(frame.columns)}"
            )
        if kinds[name] != kind:
            raise UserError(f"{file}: {name} is of type {kinds[name]!r}; expected {name}:{kind}")
    return from_frame(file, frame.rename({n: n.rpartition(":")[0] for n in frame.columns}),
                      user, item, time, first)  # fmt: skip
