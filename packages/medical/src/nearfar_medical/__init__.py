"""Segmentation of volumes from few labels, by global and local contrast, and SepCLR."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "MedicalSettings": "settings",
    "Model": "weights",
    "VolumeSegmenter": "estimator",
    "find_cases": "cases",
    "load_model": "weights",
    "load_weights": "weights",
    "save_model": "weights",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    # Found when asked for: torch and MONAI take seconds, and --help needs neither.
    if name in _HOMES:
        return getattr(import_module(f"nearfar_medical.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'nearfar_medical' has no attribute {name!r}")
