"""Mistakes in the call or the data, told in one clear line."""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(Exception):
    """A mistake of the caller's or in the data: which file, row or field, and what was expected.

    The command line prints the message alone and ends with status 2.
    """
