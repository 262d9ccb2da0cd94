"""Synthetic speech in the layouts of sets whose audio is not free to fetch.

Sentences are real or our own, voices are eSpeak NG's (the extra ``synthesis``): good for tests of
readers and for comparisons that say so, no substitute for people.
"""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

_HOMES = {"Voice": "espeak", "draw_voices": "espeak", "make_fsc": "fluent", "make_slurp": "slurp",
          "speak": "espeak"}  # fmt: skip
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
