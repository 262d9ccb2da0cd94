"""How long a training will take, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["in_all", "in_words"]


def in_words(seconds: float) -> str:
    """Seconds below 100 s, then minutes, then hours.

    Example:
        >>> in_words(0.2), in_words(99), in_words(100), in_words(4000)
        ('1 s', '99 s', '2 min', '1 h 7 min')
    """
    whole = _as_shown(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def in_all(parts: Mapping[str, float]) -> str:
    """The whole of some parts' seconds, and each, such that the parts are never more.

    Example:
        >>> in_all({"contrast": 0.3, "fine-tuning": 150})
        'about 3 min in all: contrast 1 s, fine-tuning 2 min'
    """
    # Of the parts as they are shown, rounded up.
    shown = sum(_as_shown(seconds) for seconds in parts.values())
    whole = in_words(shown if shown < 100 else math.ceil(shown / 60) * 60)
    told = ", ".join(f"{name} {in_words(seconds)}" for name, seconds in parts.items())
    return f"about {whole} in all: {told}"


def _as_shown(seconds: float) -> int:
    whole = max(1, round(seconds))
    return whole if whole < 100 else round(whole / 60) * 60
