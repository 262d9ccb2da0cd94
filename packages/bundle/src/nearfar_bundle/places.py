"""Where fewer items were found than were asked for, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from nearfar_bundle.builder import Builder
from nearfar_bundle.construct import Limits, labels_of

__all__ = ["places_left"]


def places_left(
    builder: Builder, frame: pl.DataFrame, bundles: Mapping[str, Sequence[str]], k: int,
    limits: Limits,
) -> list[str]:  # fmt: skip
    """A note where :func:`construct` found less than was asked for: how much, and for what.

    Args:
        frame: what it found for ``bundles``.
    """
    count = Counter(frame.filter(pl.col("rank") > 0)["bundle"].to_list())
    short = {name: k - count[name] for name in bundles if count[name] < k}
    if not short:
        return []
    if len(short) == 1:
        ((name, places),) = short.items()
        added = frame.filter(pl.col("bundle") == name)["item"].to_list()
        why = _why_one(builder, [*bundles[name], *limits.include, *added], limits)
        return [f"bundle {name}: {places} of {k} places left: {why}"]
    whole = sum(short.values())
    return [f"{len(short)} bundles have {whole} of {k * len(short)} places left: {_why(limits)}"]


def _why(limits: Limits) -> str:
    """Of several bundles, each of which has something else left."""
    within = []
    if limits.budget is not None:
        within.append(f"what is left of the budget of {limits.budget:g}")
    if limits.each:
        within.append(f"--each {_each(limits)}")
    return f"nothing else within {' and '.join(within)}" if within else "there are no other items"


def _why_one(builder: Builder, held: list[str], limits: Limits) -> str:
    """Of one bundle with all that it holds."""
    if limits.budget is None or builder.prices is None:
        return _why(limits)
    number = {str(name): n for n, name in enumerate(builder.items)}
    own = sorted({number[name] for name in held})
    left = np.ones(builder.size, bool)
    left[own + [number[name] for name in limits.exclude if name in number]] = False
    allowed = ""
    if limits.each:
        counts = Counter(label for item in own for label in labels_of(builder, item))
        left &= [limits.allows(labels_of(builder, n), counts) for n in range(builder.size)]
        allowed = f" within --each {_each(limits)}"
    if not left.any():
        return f"nothing else{allowed}" if allowed else "there are no other items"
    prices = builder.prices[left]
    if np.isnan(prices).all():
        return f"no other item{allowed} has a price"
    rest = limits.budget - float(np.nansum(builder.prices[own]))
    return (
        f"{rest:.6g} of the budget of {limits.budget:g} left, and the cheapest other item{allowed} "
        f"costs {np.nanmin(prices):g}"
    )


def _each(limits: Limits) -> str:
    return " ".join(f"{label}={most}" for label, most in limits.each.items())
