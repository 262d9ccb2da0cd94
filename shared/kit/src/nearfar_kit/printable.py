"""Text of strangers for the terminal."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    """The same in one line, what a terminal would obey written out.

    Example:
        >>> printable("a" + chr(27) + "[2Jb")
        'a\\\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
