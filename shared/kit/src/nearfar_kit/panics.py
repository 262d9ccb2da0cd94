"""Libraries in Rust panic over some damaged files: that is told in one line as other damage is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from nearfar_kit.errors import UserError

__all__ = ["panics_told"]


@contextmanager
def panics_told(what: str) -> Iterator[None]:
    """What is done in the block may panic; what the library writes of it by itself is not shown.

    Args:
        what: the error, as of a file that is damaged.

    Raises:
        UserError: it panicked.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    except BaseException as error:  # which a panic is, so that no one catches it unawares
        if type(error).__name__ != "PanicException":
            raise
        raise UserError(what) from None
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
