"""Where on a map the regions of local contrast lie, and which of them repel each other."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

__all__ = ["neighbours_of", "region_corners"]


def region_corners(shape: tuple[int, ...], *, side: int = 3, margin: int = 1) -> Tensor:
    """The first corners [R, dims] of regions of ``side`` spread evenly over a map.

    Chaitanya et al. 2020: with ``I`` the room along an axis, the corners at 0, I/2 and I of each
    axis and those at I/4 and 3I/4: 13 on a slice's map, 35 in a volume's.

    Args:
        shape: of the map, [H, W] or [D, H, W].
        side: of a region.
        margin: that regions keep from the far border, so that I = shape - side - margin.

    Raises:
        ValueError: the map is too small for regions apart from each other.

    Example:
        >>> corners = region_corners((24, 24))
        >>> len(corners), corners.min().item(), corners.max().item()
        (13, 0, 20)
    """
    room = [size - side - margin for size in shape]
    if min(room) < 4:
        raise ValueError(
            f"a map of {'x'.join(map(str, shape))} has no room for regions of {side}; expected "
            f"{side + margin + 4} or more an axis: take a deeper decoder or larger images"
        )
    outer = product(*[(0, r // 2, r) for r in room])
    inner = product(*[(r // 4, 3 * r // 4) for r in room])
    return torch.tensor([*outer, *inner])


def neighbours_of(corners: Tensor, count: int) -> Tensor:
    """The ``count`` nearest other regions of each: corners [R, dims] -> [R, count] numbers.

    The paper lists five of each by hand, some of which are no regions of its own; these are the
    nearest that are.

    Example:
        >>> neighbours_of(torch.tensor([[0, 0], [0, 4], [0, 9]]), 1).flatten()
        tensor([1, 0, 1])
    """
    if not 1 <= count < len(corners):
        raise ValueError(f"neighbours is {count}; expected 1 to {len(corners) - 1}")
    far = torch.cdist(corners.double(), corners.double())
    far.fill_diagonal_(torch.inf)
    return far.argsort(dim=1, stable=True)[:, :count]
