"""The comparison, part by part: what each measures, and the tables that are made of it."""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

_HOMES = {"PARTS": "run", "Ask": "part", "run_bench": "run"}
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
