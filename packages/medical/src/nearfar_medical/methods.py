"""The methods of the comparison: how each pre-trains, and how it learns from labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method:
    """How a method departs from the settings it is run with.

    Attributes:
        pretraining: by place (the strategies of the settings), by restoration, or none.
        recipe: of learning from labels.
        everything: whether all labels are used, whatever the number asked for.
        settings: what differs.
    """

    pretraining: Literal["none", "place", "restoration"] = "none"
    recipe: Literal["paper", "nnunet"] = "paper"
    everything: bool = False
    settings: dict[str, object] = field(default_factory=dict)


# What the paper's table holds is tuned without them.
_PLAIN: dict[str, object] = {"intensities": False}


def _none(**more: object) -> Method:
    return Method(settings=_PLAIN | more)


def _place(global_strategy: str, local_strategy: str = "none", **more: object) -> Method:
    strategies = {"global_strategy": global_strategy, "local_strategy": local_strategy}
    return Method("place", settings=_PLAIN | strategies | more)


# By the names of the paper's table.
METHODS = {
    "baseline": _none(),
    "nnU-Net-like": Method(recipe="nnunet"),
    "MONAI restoration": Method("restoration", settings=_PLAIN),
    "G^R": _place("GR"),
    "G^D-": _place("GD-"),
    "G^D": _place("GD"),
    "G^D, two augmentations": _place("GD2"),
    "G^R + L^R": _place("GR", "LR"),
    "G^D + L^R": _place("GD", "LR"),
    "G^D + L^D": _place("GD", "LD"),
    "baseline + Mixup": _none(mixup=True),
    "G^D + L^R + Mixup": _place("GD", "LR", mixup=True),
    "baseline, intensities": _none(intensities=True),
    "G^D, intensities": _place("GD", intensities=True),
    "G^D + L^R, intensities": _place("GD", "LR", intensities=True),
    "all labels": Method(everything=True, settings=_PLAIN),
}
