"""Robust table integration: dirty tables of a data lake into one, with the grounds for each cell.

>>> import polars as pl
>>> from nearfar_tables import align, outer_union, read_all
>>> a, b = pl.DataFrame({"City": ["Rome"]}), pl.DataFrame({"city": ["Oslo"]})
>>> sources = read_all({"a": a, "b": b})
>>> outer_union(sources, align(sources)).frame["City"].to_list()
['Rome', 'Oslo']
"""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

__version__ = "0.1.0"

_HOMES = {
    "Lake": "lake",
    "Result": "integration",
    "TablesSettings": "settings",
    "align": "alignment",
    "as_kind": "writers",
    "block": "blocking",
    "estimate_pairs": "blocking",
    "group": "grouping",
    "integrate": "integration",
    "match": "matching",
    "outer_union": "union",
    "read": "readers",
    "read_all": "readers",
    "resolve": "resolution",
    "suggest_alignment": "alignment",
    "write": "writers",
}
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
