"""Mistakes in the call or the data, told in one clear line."""

from __future__ import annotations

__all__ = ["UserError", "first_line"]


class UserError(Exception):
    """A mistake of the caller's or in the data: which file, row or field, and what was expected.

    The command line prints the message alone and ends with status 2.
    """


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line; its kind where it says nothing.

    Example:
        >>> first_line(ValueError("no\\nmore")), first_line(EOFError())
        ('no', 'EOFError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
