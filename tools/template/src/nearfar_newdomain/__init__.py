"""Things measured twice, told apart by what their measurements share."""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

__version__ = "0.1.0"

_HOMES = {"Measured": "measured", "NewDomainSettings": "settings", "read": "readers"}
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
