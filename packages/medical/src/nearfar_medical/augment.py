"""Augmentations of a batch of slices or patches, each image with chance of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

__all__ = ["cropped", "deformed", "intensities", "mixed"]


def _uniform(shape: tuple[int, ...], low: float, high: float, g: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=g)


def intensities(
    x: Tensor, generator: torch.Generator, *, brightness: float = 0.3, contrast: float = 0.3
) -> Tensor:
    """Brightness +- ``brightness`` and contrast 1 +- ``contrast``, of chance for each of [B, ...].

    Values are cut to 0 to 1.5, as volumes' percentiles 1 and 99 lie at 0 and 1.
    """
    one = (len(x), *(1 for _ in x.shape[1:]))
    shift = _uniform(one, -brightness, brightness, generator).to(x)
    factor = _uniform(one, 1 - contrast, 1 + contrast, generator).to(x)
    mean = x.flatten(1).mean(1).reshape(one)
    return ((x - mean) * factor + mean + shift).clamp(0, 1.5)


def cropped(x: Tensor, generator: torch.Generator, *, share: float = 100 / 192) -> Tensor:
    """A window of ``share`` of each axis, somewhere inside [B, C, ...], brought to its size."""
    dims = x.ndim - 2
    theta = torch.zeros(len(x), dims, dims + 1)
    theta[:, range(dims), range(dims)] = share
    theta[:, :, -1] = _uniform((len(x), dims), share - 1, 1 - share, generator)
    grid = affine_grid(theta.to(x), list(x.shape), align_corners=False)
    # A window in a corner reaches the outer edge of border pixels, half a pixel over their middle.
    return _sampled(x, grid, "bilinear", padding="border")


def deformed(
    image: Tensor,
    mask: Tensor,
    generator: torch.Generator,
    *,
    flip: bool = True,
    elastic: float = 5 / 192,
) -> tuple[Tensor, Tensor]:
    """The deformations of fine-tuning: an affine map, then of a share of the batch an elastic one.

    One of five for each image, with equal chance: a turn of up to 15 degrees, a scale of 0.95 to
    1.05, left for right, a multiple of 45 degrees, nothing; all within the slice. Of a random share
    of 1/20 to 18/20 of the batch a 3 x 3 grid of displacements bends the image.

    Args:
        image: [B, C, ...]. mask: [B, ...] integers.
        flip: whether left and right, and the turns of 180 degrees, may be exchanged; not where the
            classes have a side.
        elastic: standard deviation of the displacements, as a share of the image's side.
    """
    batch, dims = len(image), image.ndim - 2
    choice = torch.randint(5, (batch,), generator=generator)
    degrees = _uniform((batch,), -15, 15, generator)
    eighths = torch.randint(8 if flip else 1, (batch,), generator=generator)
    angle = torch.where(choice == 0, degrees, torch.where(choice == 3, eighths * 45.0, 0.0))
    angle = angle * math.pi / 180
    scale = torch.where(choice == 1, _uniform((batch,), 0.95, 1.05, generator), 1.0)
    turned = (choice == 2) & (torch.rand(batch, generator=generator) < 0.5) & flip
    theta = torch.zeros(batch, dims, dims + 1)
    # Sampling coordinates run from the last axis to the first: 0 and 1 are within the slice.
    theta[:, 0, 0], theta[:, 0, 1] = angle.cos() * scale, -angle.sin() * scale
    theta[:, 1, 0], theta[:, 1, 1] = angle.sin() * scale, angle.cos() * scale
    if dims == 3:
        theta[:, 2, 2] = 1
    theta[:, :, 0] *= torch.where(turned, -1.0, 1.0)[:, None]
    grid = affine_grid(theta.to(image), list(image.shape), align_corners=False)
    bent = torch.randperm(batch, generator=generator) < int(
        torch.randint(1, 19, (), generator=generator) * batch / 20
    )
    control = torch.randn(batch, dims, *(3,) * dims, generator=generator) * (2 * elastic)
    control = control * bent.view(-1, *(1,) * (dims + 1))
    field = interpolate(
        control.to(image), image.shape[2:], mode="bicubic" if dims == 2 else "trilinear",
        align_corners=True,
    )  # fmt: skip
    grid = grid + field.movedim(1, -1)
    moved = _sampled(mask[:, None].to(image), grid, "nearest")[:, 0]
    return _sampled(image, grid, "bilinear"), moved.round().to(mask.dtype)


def mixed(
    image: Tensor, target: Tensor, generator: torch.Generator, *, alpha: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018): each image and its targets with another's, share Beta(a, a).

    Args:
        image: [B, C, ...]. target: [B, K, ...], one of K classes a place.
    """
    seed = int(torch.randint(2**31, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        share = torch.distributions.Beta(alpha, alpha).sample((len(image),))
    share = torch.maximum(share, 1 - share).view(-1, *(1,) * (image.ndim - 1)).to(image)
    order = torch.randperm(len(image), generator=generator).to(image.device)
    return (
        share * image + (1 - share) * image[order],
        share * target + (1 - share) * target[order],
    )


def _sampled(x: Tensor, grid: Tensor, mode: str, padding: str = "zeros") -> Tensor:
    return grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=False)
