"""ColloSSL: activity recognition from several body-worn sensors with few labels.

>>> from nearfar_har import ActivityClassifier, cut_windows
>>> from nearfar_har.simulate import simulate
>>> windows = cut_windows(simulate(subjects=3, minutes_per_activity=0.5))
>>> rest, held_out = windows.split_by_subject(["s3"])
>>> model = ActivityClassifier(steps=5, labels=0.1).fit(rest)
>>> bool(model.score(held_out) > 1 / 8)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ActivityClassifier": "estimator",
    "HarModel": "model",
    "HarSettings": "settings",
    "Windows": "windows",
    "cut_windows": "windows",
    "labelled_subset": "windows",
    "read": "readers",
    "read_windows": "readers",
    "save_npz": "windows",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    # Found when asked for: torch and scikit-learn take seconds, and --help needs neither.
    if name in _HOMES:
        return getattr(import_module(f"nearfar_har.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'nearfar_har' has no attribute {name!r}")
