"""Simulated volumes: two structures of one tissue, told apart by where along the body they lie.

Each volume is an ellipsoid of tissue with a curved rod along axis 1 (posterior to anterior): its
front half is class 1, its back half class 2, alike in brightness and width. What tells them apart
are two vessels that wind about the rod from back to front, as levels of a spine or of a vessel tree
are told by what surrounds them. Balls as bright as the rod lie elsewhere. Scanners differ: contrast
curve, vessels brighter or darker than tissue, a bias field and noise are drawn for each volume, and
so are size, position and a smooth deformation. Nothing here is anatomy.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from nearfar_kit.atomic import replacing

__all__ = ["CLASSES", "simulate_volume", "write_simulated"]

CLASSES = {0: "background", 1: "front", 2: "back"}
SHAPE = (32, 40, 32)


def simulate_volume(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Image and mask, both [32, 40, 32] in RAS, about 1 mm a voxel.

    Example:
        >>> image, mask = simulate_volume(0)
        >>> image.shape, sorted(set(mask.flat))
        ((32, 40, 32), [np.uint8(0), np.uint8(1), np.uint8(2)])
    """
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    bend = np.stack([_smooth(rng, 8.0) for _ in range(3)]) * 0.09
    x, y, z = at + bend + rng.normal(0, 0.05, 3)[:, None, None, None]
    scale = rng.uniform(0.85, 1.15)

    tissue = (x / 0.9) ** 2 + (y / 0.95) ** 2 + (z / 0.9) ** 2 < 1
    middle_x, middle_z = 0.12 * np.sin(2 * y), 0.18 * y
    radius = scale * (0.26 + 0.08 * np.tanh(4 * y))
    inside = ((x - middle_x) ** 2 + (z - middle_z) ** 2 < radius**2) & (abs(y) < 0.72)
    mask = np.where(inside, np.where(y > 0, 1, 2), 0).astype(np.uint8)

    vessels = np.zeros(SHAPE, bool)
    for start in (0.0, 0.6 * np.pi):
        angle = start + 0.55 * np.pi * (y + 1) + rng.normal(0, 0.1)
        vessel_x, vessel_z = middle_x + 0.52 * np.cos(angle), middle_z + 0.52 * np.sin(angle)
        vessels |= (x - vessel_x) ** 2 + (z - vessel_z) ** 2 < 0.12**2
    vessels &= tissue & ~inside

    like = np.zeros(SHAPE, bool)
    for _ in range(rng.integers(3, 6)):
        centre, size = rng.uniform(-0.75, 0.75, 3), rng.uniform(0.1, 0.24, 3)
        ball = sum(((a - c) / s) ** 2 for a, c, s in zip((x, y, z), centre, size, strict=True))
        like |= ball < 1
    like &= ~inside & ~vessels

    brightness = np.where(tissue, 0.45, 0.1)
    brightness[like] = rng.uniform(0.55, 0.7)
    brightness[inside] = rng.uniform(0.62, 0.76)
    brightness[vessels] = rng.choice([rng.uniform(0.15, 0.25), rng.uniform(0.85, 0.95)])
    image = brightness + 0.06 * _smooth(rng, 1.5) + 0.08 * _smooth(rng, 12.0)
    image = gaussian_filter(image, 0.6).clip(0.01, None) ** rng.uniform(0.6, 1.7)
    image = image + rng.normal(0, 0.03, SHAPE)
    return (image * rng.uniform(200, 2000)).astype(np.float32), mask


def _smooth(rng: np.random.Generator, width: float) -> NDArray[np.float64]:
    """A random field of standard deviation 1 that changes over ``width`` voxels."""
    field = gaussian_filter(rng.normal(size=SHAPE), width)
    result: NDArray[np.float64] = (field - field.mean()) / field.std()
    return result


def write_simulated(folder: Path, volumes: int = 12, *, seed: int = 0) -> None:
    """``images/`` and ``labels/`` of NIfTI files, the first half in RAS and the others in LPS."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number in range(volumes):
        image, mask = simulate_volume(1000 * seed + number)
        affine = np.diag([1.0, 1.0, 1.0, 1.0])
        if number >= volumes // 2:
            affine = np.diag([-1.0, -1.0, 1.0, 1.0])
            image, mask = image[::-1, ::-1], mask[::-1, ::-1]
        for kind, data in (("images", image), ("labels", mask)):
            path = folder / kind / f"simulated_{number:03d}.nii"
            with replacing(path) as beside:
                file = nib.Nifti1Image(np.ascontiguousarray(data), affine)
                beside.write_bytes(file.to_bytes())
