"""Augmentations of windows [n, 6, W]: what a sensor may do without the activity changing.

All randomness comes from the generator given, a CPU one whatever the windows' device: one seed
then draws the same everywhere. Each window has its own draw.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["jitter", "magnitude", "permute_segments", "random_rotations", "rotate", "time_warp"]


def random_rotations(count: int, spread: float, generator: torch.Generator) -> Tensor:
    """Rotation matrices [count, 3, 3]: uniform axes, normally distributed angles (radians)."""
    axis = torch.randn(count, 3, generator=generator)
    x, y, z = (axis / axis.norm(dim=1, keepdim=True)).unbind(1)
    angle = torch.randn(count, 1, 1, generator=generator) * spread
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(count, 3, 3)
    # Rodrigues' formula.
    return torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


def rotate(x: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """The sensor mounted at another angle: acceleration and angular rate turn together."""
    turn = random_rotations(len(x), spread, generator).to(x)
    turned: Tensor = turn[:, None] @ x.unflatten(1, (2, 3))
    return turned.flatten(1, 2)


def magnitude(x: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Each window times its own factor around 1."""
    return x * (1 + spread * torch.randn(len(x), 1, 1, generator=generator).to(x))


def jitter(x: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """White noise, in units of the scaled signal."""
    return x + spread * torch.randn(x.shape, generator=generator).to(x)


def permute_segments(x: Tensor, parts: int, generator: torch.Generator) -> Tensor:
    """Each window cut in ``parts`` and put together in another order."""
    length = x.shape[-1]
    bounds = torch.arange(length) * parts // length  # the part of each sample
    ranks = torch.rand(len(x), parts, generator=generator)  # n x parts: the parts' new order
    # Sorting samples by their part's rank, stably, moves whole parts.
    order = ranks[:, bounds].argsort(dim=1, stable=True).to(x.device)
    return x.gather(2, order[:, None].expand_as(x))


def time_warp(x: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Time runs faster and slower within a window; its ends stay where they are."""
    n, _, length = x.shape
    t = torch.linspace(0, 1, length)
    phase = torch.rand(n, 1, generator=generator)
    # A whole period of a sine leaves both ends alone; a slope above 0 keeps the order of time.
    depth = spread * torch.rand(n, 1, generator=generator)
    wave = torch.sin(2 * torch.pi * (t + phase)) - torch.sin(2 * torch.pi * phase)
    position = ((t + depth * wave / (2 * torch.pi)) * (length - 1)).clamp(0, length - 1)  # n x W
    position = position.to(x)
    left = position.floor().long().clamp(max=length - 2)
    part = (position - left)[:, None]
    low = x.gather(2, left[:, None].expand_as(x))
    high = x.gather(2, (left + 1)[:, None].expand_as(x))
    return low * (1 - part) + high * part
