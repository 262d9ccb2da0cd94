"""Segmentation of volumes from few labels, by global and local contrast, and SepCLR."""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

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
__getattr__ = found_when_asked(__name__, _HOMES)
