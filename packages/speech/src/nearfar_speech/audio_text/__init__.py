"""Speech and text in one space: intents that were never trained, captions in the right order."""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

_HOMES = {"LatentText": "latent_text", "OrderContrast": "order_contrast", "ZeroShot": "zero_shot"}
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
