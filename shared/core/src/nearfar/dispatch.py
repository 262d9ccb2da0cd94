"""Which path computes the core operation, and how to ask or to choose.

``reference`` is the dense definition, ``streaming`` the tiled one. What decides, in this order: the
``path=`` argument of a loss, the environment variable ``NEARFAR_PATH``, the best path there is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from nearfar import reference, streaming
from nearfar.statistic import Scores, Statistic

__all__ = ["Path", "loss_path", "row_statistics"]

Path = Literal["reference", "streaming"]


def loss_path(device: str | torch.device = "cpu", path: Path | None = None) -> Path:
    """The path that the losses take on a device, ``path`` being what the caller asked for."""
    torch.device(device)  # an unknown device is the caller's error, today too
    chosen = path or os.environ.get("NEARFAR_PATH") or "streaming"
    for known in get_args(Path):
        if chosen == known:
            return known  # type: ignore[no-any-return]
    source = "path" if path else "NEARFAR_PATH"
    raise ValueError(f"{source} is {chosen!r}; expected one of {', '.join(get_args(Path))}")


def row_statistics(
    scores: Scores, statistics: Sequence[Statistic], *, path: Path | None = None
) -> tuple[Tensor, ...]:
    """The core operation: one tensor [N] a statistic, exact gradients to all four of the scores."""
    device = scores.queries.device
    dense = loss_path(device, path) == "reference"
    # Products of scores in bf16 would cost more digits than the embeddings carry.
    with torch.autocast(device.type, enabled=False):
        if dense:
            return reference.row_statistics(scores, statistics)
        return streaming.row_statistics(scores, statistics)
