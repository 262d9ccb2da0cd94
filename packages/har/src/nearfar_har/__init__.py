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

from nearfar_kit.lazy import found_when_asked

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
__getattr__ = found_when_asked(__name__, _HOMES)
