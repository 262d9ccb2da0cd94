"""How much a benchmark does, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nearfar_bundle.bench import METHODS, SIMPLE

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True)
class Profile:
    """Splits, seeds, methods, shares of missing features, and settings unlike the defaults.

    Attributes:
        large: items of a catalogue beyond which models of the literature are run on one split,
            and ablations not; 0: never.
    """

    splits: int
    seeds: int
    settings: dict[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = tuple(METHODS)
    missing: tuple[float, ...] = ()
    large: int = 0


PROFILES = {
    "smoke": Profile(1, 1, {"epochs": 1}, (SIMPLE, "nearfar", "CLHE as published")),
    "cpu": Profile(
        3,
        3,
        {"epochs": 10, "patience": 3, "cf_epochs": 3},
        missing=(0.25, 0.5, 0.75),
        large=20_000,
    ),
    "gpu": Profile(5, 5, missing=(0.25, 0.5, 0.75)),
}
