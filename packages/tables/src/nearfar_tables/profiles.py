"""How much a benchmark does, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nearfar_tables.bench.run import PARTS, UNASKED

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True)
class Profile:
    """Parts, seeds, one set of pairs or all, and settings unlike the defaults."""

    parts: tuple[str, ...] = UNASKED
    seeds: int = 5
    dataset: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


PROFILES = {
    "smoke": Profile(("matching",), 1, "beer", {"epochs": 1}),
    "cpu": Profile(),
    "gpu": Profile(tuple(PARTS)),
}
