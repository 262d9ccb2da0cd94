"""Gzip of strangers: a small file does not unpack to more than there is memory."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from pathlib import Path
from typing import IO, Any

from nearfar_kit.errors import UserError

__all__ = ["open_gzip", "unpack"]

# Tables and sequences shrink to a third or a tenth, the most monotonous to a hundredth; what is
# made to blow up, to a thousandth.
RATIO = 100
LEAST = 2**28  # bytes, whatever the file's size


class _Bounded(io.RawIOBase):
    def __init__(self, packed: IO[bytes], path: Path, least: int) -> None:
        self._path = path
        self._file = gzip.GzipFile(fileobj=packed)
        self._left = max(least, RATIO * os.fstat(packed.fileno()).st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        with memoryview(into) as view:
            content = self._file.read1(len(view))
            view[: len(content)] = content
        self._left -= len(content)
        if self._left < 0:
            raise UserError(
                f"{self._path}: unpacks to more than {RATIO} times its size; refused "
                "(unpack it yourself if that is meant)"
            )
        return len(content)


def open_gzip(packed: IO[bytes], path: Path, *, least: int = LEAST) -> io.BufferedReader:
    """What an open gzip file unpacks to, read as any other file.

    Damage is told where it is read, by the errors of :mod:`gzip` and :mod:`zlib`.

    Args:
        path: for the error.
        least: bytes that any file may unpack to.

    Raises:
        UserError: more comes out than a hundred times the file's size (and ``least``).
    """
    return io.BufferedReader(_Bounded(packed, path, least), 2**16)


def unpack(path: Path, *, least: int = LEAST) -> bytes:
    """All that a gzip file unpacks to.

    Args:
        least: bytes that any file may unpack to.

    Raises:
        UserError: it cannot be read, is damaged, or more comes out than its size lets expect.
    """
    try:
        with path.open("rb") as packed:
            return open_gzip(packed, path, least=least).read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path}: is no whole gzip file ({error})") from None
