"""Preparation: from a volume in RAS to what the network sees, and from its answer back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from monai.transforms import Resize, ScaleIntensityRange
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.volume import Volume

__all__ = ["Placement", "Preparation", "part_contrast", "warn_if_cut", "warn_if_parts_alike"]

# Below this share of explained variance the parts of a volume are taken to be alike. Measured with
# 4 parts: 0.48 to 0.51 along each axis of 200 hippocampi, 0.14 along 15 spinal cords; with their
# slices shuffled 0.000 (of 8 volumes, at most 0.013). Half the volumes turned round, which content
# that mirrors itself along the axis half hides: 0.09 to 0.21, and -0.01.
ALIKE = 0.05
_BLOCKS = 8  # rows and columns that a slice is averaged to, to compare slices


@dataclass(frozen=True)
class Placement:
    """Where a prepared volume's voxels lie in the volume it came from.

    Attributes:
        native: (S, H, W) of the volume, the slice axis in front.
        resampled: (S, H, W) before cropping and padding.
        slice_axis: of RAS.
        cut: share of the mask's foreground that lies outside the frame; 0 without a mask.
    """

    native: tuple[int, int, int]
    resampled: tuple[int, int, int]
    slice_axis: int
    cut: float = 0.0


@dataclass(frozen=True)
class Preparation:
    """How volumes are prepared: the settings that matter, with nothing left open.

    Resampling keeps the field of view (MONAI's ``Resize``, voxels taken for areas, no smoothing):
    linear for images and probabilities, nearest for masks. The size is rounded to whole voxels, so
    that the spacing reached may differ from the one asked for by a fraction of a voxel per slice.

    Attributes:
        spacing: mm within a slice, (rows, columns): the two axes of RAS left, in their order.
        thickness: mm between slices, or None: as they are.
        size: rows and columns of a prepared slice.
        percentiles: of a channel's voxels, that become 0 and 1.
    """

    slice_axis: int
    spacing: tuple[float, float]
    thickness: float | None
    size: tuple[int, int]
    percentiles: tuple[float, float]

    @classmethod
    def of(cls, settings: MedicalSettings) -> Preparation:
        """As the settings say, which must leave nothing open (see :func:`geometry.filled`)."""
        axis, within, size = settings.slice_axis, settings.spacing, settings.size
        if axis is None or within is None or size is None:
            raise ValueError(
                f"settings have slice_axis {axis}, spacing {within}, size {size}; expected those "
                "filled for a data set"
            )
        low, high = settings.percentiles
        if not (min(within) > 0 and (settings.thickness is None or settings.thickness > 0)):
            raise UserError(f"spacing is {within}, thickness {settings.thickness}; expected mm > 0")
        if not 0 <= low < high <= 100:
            raise UserError(f"percentiles are {low}, {high}; expected 0 <= first < second <= 100")
        return cls(axis, within, settings.thickness, size, settings.percentiles)

    def apply(
        self, volume: Volume, mask: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None, Placement]:
        """A volume [C, X, Y, Z] and its mask [X, Y, Z] to [C, S, H, W] and [S, H, W].

        Each channel becomes ``(x - p1) / (p99 - p1)``, not clipped, by its percentiles over the
        whole volume; what is padded is 0, in image and mask.

        Raises:
            UserError: a channel has no contrast.
        """
        image = np.moveaxis(self._scaled(volume), self.slice_axis + 1, 1)  # C x S x H x W
        native = _three(image.shape[1:])
        placement = Placement(native, self._resampled(native, volume.spacing), self.slice_axis)
        image = _fitted(_resized(image, placement.resampled, "trilinear"), self.size)
        if mask is None:
            return image, None, placement
        if mask.shape != volume.image.shape[1:]:
            raise ValueError(f"mask is {mask.shape}; expected {volume.image.shape[1:]}")
        moved = np.moveaxis(mask, self.slice_axis, 0)[None]
        moved = _resized(moved, placement.resampled, "nearest-exact")
        placed = _fitted(moved, self.size)[0]
        whole = int((moved > 0).sum())
        cut = 1 - int((placed > 0).sum()) / whole if whole else 0.0
        return image, placed.astype(np.uint8), replace(placement, cut=cut)

    def undo(self, probabilities: NDArray[np.float32], placement: Placement) -> NDArray[np.uint8]:
        """Probabilities [K, S, H, W] of a prepared volume to its mask [X, Y, Z] of numbers in RAS.

        They are put back where the frame was cut from, all else being background, resized to
        the volume's own voxels, and then the likeliest class is taken.
        """
        expected = (placement.resampled[0], *self.size)
        if probabilities.shape[1:] != expected:
            raise ValueError(
                f"probabilities are {list(probabilities.shape)}; expected [K, *{list(expected)}]"
            )
        best = np.full(placement.native, -np.inf, dtype=np.float32)
        likeliest = np.zeros(placement.native, dtype=np.uint8)
        # One class at a time: at full size, all of them would take K times the memory.
        for number, one in enumerate(probabilities):
            frame = np.full((1, *placement.resampled), float(number == 0), dtype=np.float32)
            inner, outer = _windows(placement.resampled[1:], self.size)
            frame[0, :, inner[0], inner[1]] = one[:, outer[0], outer[1]]
            full = _resized(frame, placement.native, "trilinear")[0]
            better = full > best
            best[better], likeliest[better] = full[better], number
        return np.ascontiguousarray(np.moveaxis(likeliest, 0, placement.slice_axis))

    def _scaled(self, volume: Volume) -> NDArray[np.float32]:
        low, high = self.percentiles
        scaled = []
        for number, channel in enumerate(volume.image):
            bottom, top = np.percentile(channel, (low, high))
            if not top > bottom:
                raise UserError(
                    f"{volume.name}: channel {number}: percentiles {low:g} and {high:g} are both "
                    f"{bottom:g}; expected contrast, or wider percentiles"
                )
            scaler = ScaleIntensityRange(float(bottom), float(top), 0, 1, clip=False)
            scaled.append(_array(scaler(torch.from_numpy(np.ascontiguousarray(channel)))))
        return np.stack(scaled)

    def _resampled(
        self, native: tuple[int, int, int], spacing: tuple[float, float, float]
    ) -> tuple[int, int, int]:
        """(S, H, W) at the spacing of the preparation, of ``native`` at ``spacing`` of RAS."""
        across = spacing[self.slice_axis]
        within = [mm for axis, mm in enumerate(spacing) if axis != self.slice_axis]
        own = (across, *within)
        asked = (across if self.thickness is None else self.thickness, *self.spacing)
        return _three(max(1, round(n * a / b)) for n, a, b in zip(native, own, asked, strict=True))


def _three(sides: Iterable[int]) -> tuple[int, int, int]:
    s, h, w = (int(side) for side in sides)
    return (s, h, w)


def _array(x: torch.Tensor | NDArray[np.float32]) -> NDArray[np.float32]:
    """MONAI's tensors know their history; of no use here."""
    return torch.as_tensor(x).detach().cpu().numpy()


def _resized(x: NDArray[np.generic], shape: tuple[int, int, int], mode: str) -> NDArray[Any]:
    """[C, S, H, W] -> [C, *shape]; the very same where the shape is."""
    if x.shape[1:] == shape:
        return x
    resize = Resize(shape, mode=mode, align_corners=False if mode == "trilinear" else None)
    # Channel by channel: MONAI copies what it is given.
    return np.stack([_array(resize(torch.from_numpy(np.ascontiguousarray(c))[None]))[0] for c in x])


def _windows(
    sides: Sequence[int], size: Sequence[int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """What of a slice of ``sides`` is kept, and where in the frame of ``size`` it is put.

    Both are centred; of an odd difference the smaller half comes first. Apply and undo share the
    arithmetic, so that one is the other's inverse whatever the sides.
    """
    inner, outer = [], []
    for side, room in zip(sides, size, strict=True):
        kept = min(side, room)
        cut, pad = (side - kept) // 2, (room - kept) // 2
        inner.append(slice(cut, cut + kept))
        outer.append(slice(pad, pad + kept))
    return (inner[0], inner[1]), (outer[0], outer[1])


def _fitted(x: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """[C, S, H', W'] -> [C, S, *size], cut at the centre, padded with 0."""
    inner, outer = _windows(x.shape[2:], size)
    frame = np.zeros((*x.shape[:2], *size), dtype=x.dtype)
    frame[:, :, outer[0], outer[1]] = x[:, :, inner[0], inner[1]]
    return frame


def warn_if_cut(placements: Mapping[str, Placement]) -> str | None:
    """A line of warning if the frame leaves out what is labelled in some of the cases, else None.

    Args:
        placements: of each case, by name.
    """
    cut = {name: placement.cut for name, placement in placements.items() if placement.cut > 0.01}
    if not cut:
        return None
    worst = max(cut, key=cut.__getitem__)
    return (
        f"{len(cut)} of {len(placements)} volumes have labelled voxels outside the frame "
        f"({cut[worst]:.0%} of {worst}), which are never found; take a larger size or spacing"
    )


def part_contrast(images: Sequence[NDArray[np.float32]], parts: int) -> float:
    """How far the content of a slice depends on the part of the volume that it lies in.

    Each slice is averaged to 8 x 8 blocks a channel, and loses its volume's mean over the slices.
    Of what is left, this is the share of variance that the parts' means, over all volumes, explain
    (eta squared), less what as many volumes in any order would by chance: 1 where slices of one
    part are all alike and unlike others, near 0 where parts are alike or volumes run otherwise.

    Args:
        images: [C, S, H, W] of each volume, of the same C, H, W; those with fewer slices than parts
            are left out.

    Returns:
        NaN with fewer than two volumes, where it cannot be told.
    """
    profiles = []  # of each volume, parts x features: its means
    total = 0.0
    for image in images:
        length = image.shape[1] // parts
        if length == 0:
            continue
        blocks = torch.nn.functional.adaptive_avg_pool2d(
            torch.from_numpy(np.ascontiguousarray(image)).movedim(1, 0), _BLOCKS
        )
        # As parts are drawn: slices left over at the end are not.
        slices = blocks.double().flatten(1)[: parts * length].numpy()
        slices = slices - slices.mean(0)
        total += float((slices**2).sum()) / len(slices)
        profiles.append(slices.reshape(parts, length, -1).mean(1))
    count = len(profiles)
    if count < 2 or total == 0:
        return float("nan") if count < 2 else 0.0
    means = np.stack(profiles)  # volumes x parts x features
    # Products of different volumes only: their expectation is 0 where order means nothing.
    together = float((means.sum(0) ** 2).sum() - (means**2).sum()) / (count - 1) / parts
    return together / total


def warn_if_parts_alike(images: Sequence[NDArray[np.float32]], parts: int) -> str | None:
    """A line of warning if the parts do not differ in content, else None."""
    contrast = part_contrast(images, parts)
    if np.isnan(contrast) or contrast >= ALIKE:
        return None
    return (
        f"the {parts} parts along the slice axis look alike (contrast {contrast:.3f}; expected "
        f"{ALIKE} or more): GD- and GD rest on their difference; check slice_axis and that all "
        "volumes run the same way, or take GR"
    )
