"""Which partial bundles of a table can be completed: those that cannot are told of and left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nearfar_bundle.builder import Builder
from nearfar_bundle.construct import Limits

__all__ = ["completable"]

MOST_NAMED = 5  # items or bundles of a note


def completable(
    builder: Builder, bundles: Mapping[str, Sequence[str]], limits: Limits
) -> tuple[dict[str, list[str]], list[str]]:
    """Bundles without their unknown items, and a note of each kind of what is left out.

    Where nothing would be left all of them come back as they are, for the first one's error.

    Returns:
        The bundles that :func:`nearfar_bundle.construct.construct` takes, and notes.
    """
    number = {str(name): n for n, name in enumerate(builder.items)}
    strange: list[str] = []
    empty, costly, large = [], [], []
    found: dict[str, list[str]] = {}
    for name, items in bundles.items():
        strange += [f"{item} (bundle {name})" for item in items if item not in number]
        own = [item for item in items if item in number]
        whole = sorted({number[item] for item in [*own, *limits.include] if item in number})
        paid = 0.0 if builder.prices is None else float(np.nansum(builder.prices[whole]))
        if not own:
            empty.append(name)
        elif len(whole) > builder.settings.longest:
            large.append(f"{name} ({len(whole)})")
        elif not limits.affords(paid):
            costly.append(f"{name} ({paid:g})")
        else:
            found[name] = own
    if not found:
        return {name: list(items) for name, items in bundles.items()}, []
    of = sum(map(len, bundles.values()))
    most = builder.settings.longest
    told = {
        f"{len(strange)} of {of} items are not in the catalogue of {builder.size}": strange,
        f"{_bundles(empty)} no item of the catalogue": empty,
        f"{_bundles(large)} more than {most} items (longest)": large,
        f"{_bundles(costly, 'cost')} more than the budget already": costly,
    }
    return found, [f"{what}, left out: {_some(names)}" for what, names in told.items() if names]


def _bundles(names: Sequence[str], verb: str = "hold") -> str:
    return f"1 bundle {verb}s" if len(names) == 1 else f"{len(names)} bundles {verb}"


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:MOST_NAMED], *["..."] * (len(names) > MOST_NAMED)])
