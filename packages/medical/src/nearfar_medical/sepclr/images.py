"""Two views of a batch of images or volumes, each with chance of its own from a generator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from nearfar_medical.sepclr.settings import SepCLRSettings

__all__ = ["colours", "flipped", "intensity", "resized_crop", "two_views", "view"]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, what Pillow's grey is


def two_views(
    x: Tensor, settings: SepCLRSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """[N, C, ...] -> two augmented versions, of the settings' ``view_size``."""
    return view(x, settings, generator), view(x, settings, generator)


def view(x: Tensor, settings: SepCLRSettings, generator: torch.Generator) -> Tensor:
    """One augmented version: crop, flips, then colours (three channels, 2-D) or intensity."""
    s = settings
    x = resized_crop(x, generator, scale=s.crop_scale, size=s.view_size)
    x = flipped(x, generator, s.flips)
    if s.dims == 2 and x.shape[1] == 3:
        return colours(
            x, generator, jitter=s.jitter, chance=s.jitter_chance, grey_chance=s.grey_chance
        )
    brightness, contrast = s.jitter[:2]
    return intensity(x, generator, brightness=brightness, contrast=contrast, chance=s.jitter_chance)


def resized_crop(
    x: Tensor,
    generator: torch.Generator,
    *,
    scale: tuple[float, float] = (0.2, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    size: Sequence[int] | None = None,
) -> Tensor:
    """A part of ``scale`` of the area or volume, of sides in ``ratio``, brought to ``size``.

    The part lies inside; a side that would be longer than the image is the image's.

    Args:
        x: [N, C, H, W] or [N, C, D, H, W]. size: None: as x.
    """
    n, dims = len(x), x.ndim - 2
    share = _uniform((n, 1), *scale, generator)
    # Log-uniform factors of product 1: the share is kept whatever the ratio.
    bend = _uniform((n, dims), math.log(ratio[0]) / 2, math.log(ratio[1]) / 2, generator)
    if dims == 2:
        bend = torch.stack([bend[:, 0], -bend[:, 0]], 1)
    else:
        bend = bend - bend.mean(1, keepdim=True)
    side = (share ** (1 / dims) * bend.exp()).clamp(max=1)  # N x dims, of the image's side
    theta = torch.zeros(n, dims, dims + 1)
    theta[:, range(dims), range(dims)] = side
    theta[:, :, -1] = (1 - side) * _uniform((n, dims), -1, 1, generator)
    shape = [n, x.shape[1], *(size or x.shape[2:])]
    grid = affine_grid(theta.to(x), shape, align_corners=False)
    # Border pixels' middles lie half a pixel inside the edge that a part may reach.
    return grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def flipped(x: Tensor, generator: torch.Generator, axes: Sequence[int]) -> Tensor:
    """Each image turned round along each of ``axes`` (-1 is the last) with chance 1/2."""
    for axis in axes:
        turned = torch.rand(len(x), generator=generator) < 0.5
        x = torch.where(_column(turned, x).bool(), x.flip(axis), x)
    return x


def colours(
    x: Tensor,
    generator: torch.Generator,
    *,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1),
    chance: float = 0.8,
    grey_chance: float = 0.2,
) -> Tensor:
    """Brightness, contrast, saturation and hue of RGB images [N, 3, H, W] within 0 to 1, then grey.

    All four are one affine map of colour, so an image is read once; it is cut to 0 to 1 at the end,
    not after each. Hue turns colours about the grey axis by a share ``jitter[3]`` of the circle.
    """
    n = len(x)
    brightness, contrast, saturation = (
        _uniform((n,), max(0.0, 1 - j), 1 + j, generator) for j in jitter[:3]
    )
    hue = _uniform((n,), -jitter[3], jitter[3], generator)
    off = torch.rand(n, generator=generator) >= chance
    grey = torch.rand(n, generator=generator) < grey_chance
    brightness, contrast, saturation = (
        factor.masked_fill(off, 1) for factor in (brightness, contrast, saturation)
    )
    colour = _saturate(saturation) @ _turn(hue.masked_fill(off, 0))
    colour = torch.where(grey[:, None, None], _saturate(torch.zeros(n)) @ colour, colour)
    # Contrast is about the mean grey of the image as it came: a turn changes that but little.
    mean = (x.mean((2, 3)) * x.new_tensor(_LUMA)).sum(1) * brightness.to(x)
    y = torch.einsum("nij,njhw->nihw", (colour * _three(brightness * contrast)).to(x), x)
    return (y + _column((1 - contrast).to(x) * mean, y)).clamp(0, 1)


def intensity(
    x: Tensor,
    generator: torch.Generator,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    chance: float = 0.8,
) -> Tensor:
    """Brightness +- ``brightness`` / 2 and contrast 1 +- ``contrast`` about the mean of each.

    Additive, unlike that of colours: the zero of a scan has no meaning.
    """
    n = len(x)
    shift = _uniform((n,), -brightness / 2, brightness / 2, generator)
    factor = _uniform((n,), max(0.0, 1 - contrast), 1 + contrast, generator)
    off = torch.rand(n, generator=generator) >= chance
    shift, factor = shift.masked_fill(off, 0), factor.masked_fill(off, 1)
    mean = _column(x.flatten(1).mean(1), x)
    return (x - mean) * _column(factor, x) + mean + _column(shift, x)


def _saturate(factor: Tensor) -> Tensor:
    """[N] -> [N, 3, 3]: colours drawn to their grey; 0 is grey, 1 as they are."""
    grey = torch.tensor(_LUMA).expand(3, 3)
    return _three(factor) * torch.eye(3) + _three(1 - factor) * grey


def _turn(share: Tensor) -> Tensor:
    """[N] -> [N, 3, 3]: a turn about the grey axis, by Rodrigues' formula."""
    angle = _three(share * 2 * math.pi)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    along = torch.full((3, 3), 1 / 3)
    return angle.cos() * (torch.eye(3) - along) + angle.sin() * cross + along


def _three(values: Tensor) -> Tensor:
    return values[:, None, None]


def _column(values: Tensor, x: Tensor) -> Tensor:
    """[N] beside x [N, ...]."""
    return values.to(x).view(-1, *(1,) * (x.ndim - 1))


def _uniform(shape: tuple[int, ...], low: float, high: float, g: torch.Generator) -> Tensor:
    # Chance is drawn on the CPU: the same seed draws the same on any device.
    return low + (high - low) * torch.rand(shape, generator=g)
