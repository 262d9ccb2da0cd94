"""Text of strangers: what is no text, or has no end, is told in one line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nearfar_kit.errors import UserError

__all__ = ["read_text"]

LARGEST = 2**26  # bytes of what is no file on a disk: a pipe, a device


def read_text(path: Path, expected: str) -> str:
    """What a file in UTF-8 holds, with or without a byte order mark.

    Args:
        expected: what that should be, for the error.

    Raises:
        UserError: it cannot be read, is not UTF-8, or has no end.
    """
    try:
        with path.open("rb") as file:
            plain = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            raw = file.read() if plain else file.read(LARGEST + 1)
        if not plain and len(raw) > LARGEST:
            raise UserError(f"{path}: is larger than {LARGEST} bytes; expected {expected}")
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            told = f"is not UTF-8 at byte {error.start}; expected {expected}"
        else:
            told = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise UserError(f"{path}: {told}") from None
