"""Bundle construction: what belongs with these items, learnt from a few bundles.

>>> from nearfar_bundle import catalogue_of
>>> catalogue_of("tea", [("set", "pot"), ("set", "cup")]).items.tolist()
['cup', 'pot']
"""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

__version__ = "0.1.0"

_HOMES = {
    "Builder": "builder",
    "BundleEstimator": "estimator",
    "BundleSettings": "settings",
    "Catalogue": "catalogue",
    "Limits": "construct",
    "Split": "split",
    "catalogue_of": "catalogue",
    "check_leak": "leak",
    "construct": "construct",
    "evaluate": "evaluate",
    "read": "readers",
    "split_bundles": "split",
    "train": "train",
}
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
