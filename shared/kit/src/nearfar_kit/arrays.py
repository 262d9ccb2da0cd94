"""Arrays of strangers: an ``.npz`` that is read is no larger than was thought, and runs no code."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError

__all__ = ["open_arrays"]

LARGEST = 2**32


@contextmanager
def open_arrays(path: Path, expected: str, *, largest: int = LARGEST) -> Iterator[Any]:
    """The arrays of an ``.npz`` by name, read where they are asked for.

    Args:
        expected: what the file should hold, for the error.
        largest: bytes that all arrays together may unpack to.

    Raises:
        UserError: there is no such file, it is damaged, holds objects, lacks what the block asks
            for, unpacks to more than ``largest`` or claims to hold more than there is memory.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > largest:
            raise UserError(f"{path}: unpacks to {size} bytes, more than {largest}; refused")
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError, KeyError, EOFError, MemoryError, RuntimeError,
            zipfile.BadZipFile) as error:  # fmt: skip
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not {expected} ({told})") from error
