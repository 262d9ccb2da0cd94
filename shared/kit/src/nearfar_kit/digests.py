"""Names that a model keeps to know again, and not to tell."""

from __future__ import annotations

import hashlib

__all__ = ["digest"]


def digest(name: str) -> str:
    """Sixteen hexadecimal digits of a name, the same on every machine.

    A model is given away, and what it was trained on may be called after people. Whoever has a name
    can ask for it, nobody reads one; but who tries all of few possible names finds those that fit.
    """
    return hashlib.sha256(name.encode()).hexdigest()[:16]
