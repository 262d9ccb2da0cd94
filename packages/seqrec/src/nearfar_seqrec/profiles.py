"""How much a benchmark does, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nearfar_seqrec.bench import METHODS

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True)
class Profile:
    """Seeds, methods, and how its settings depart from the defaults."""

    seeds: int
    settings: dict[str, Any]
    methods: tuple[str, ...] = tuple(METHODS)


PROFILES = {
    "smoke": Profile(
        1,
        {
            "most": 40_000,
            "recent": 8,
            "longest": 6,
            "layers": 1,
            "width": 16,
            "epochs": 1,
            "batch": 128,
        },
    ),
    # Within 90 minutes on two idle cores: of large sets a dense core, each user's last 22
    # interactions, half the width, one block; trained until it gets no better.
    "cpu": Profile(
        3,
        {
            "most": 40_000,
            "recent": 22,
            "longest": 20,
            "layers": 1,
            "width": 32,
            "inner_width": 128,
            "batch": 64,
            "learning_rate": 3e-3,
            "epochs": 80,
            "validate_every": 2,
            "patience": 5,
        },
    ),
    # The paper's setting.
    "gpu": Profile(5, {"train_mode": "prefix", "epochs": 100}),
}
