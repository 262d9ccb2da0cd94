"""Prepared volumes in memory, and the slices or patches that are drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.errors import UserError

__all__ = ["Frame", "draw_parts", "draw_slices", "load_frames", "save_frames"]


@dataclass(frozen=True)
class Frame:
    """A volume as the network sees it.

    Attributes:
        name, subject: of the case.
        image: [C, S, H, W] float32, S slices.
        mask: [S, H, W], the numbers of its classes, or None.
    """

    name: str
    subject: str
    image: NDArray[np.float32]
    mask: NDArray[np.uint8] | None = None

    @property
    def slices(self) -> int:
        return int(self.image.shape[1])


def draw_parts(
    frames: Sequence[Frame], parts: int, depth: int | None, generator: torch.Generator
) -> Tensor:
    """One image of each of ``parts`` equal parts of each frame, image ``part + parts * frame``.

    Parts are as long as the number of slices allows; slices left over at the end are never drawn.

    Args:
        depth: slices of a patch, whose middle lies in the part; None: one slice alone.

    Returns:
        [frames * parts, C, H, W], or [frames * parts, C, depth, H, W].

    Raises:
        UserError: a frame has fewer slices than parts.
    """
    images = []
    for frame in frames:
        length = frame.slices // parts
        if length == 0:
            raise UserError(
                f"{frame.name}: {frame.slices} slices; expected at least {parts}, one a part"
            )
        within = torch.randint(length, (parts,), generator=generator)
        for part in range(parts):
            at = part * length + int(within[part])
            images.append(_taken(frame.image, at, depth))
    return torch.from_numpy(np.stack(images))


def draw_slices(
    frames: Sequence[Frame], count: int, depth: int | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Any images of labelled frames with their masks: [count, C, ...] and [count, ...].

    Every slice of every frame has the same chance.
    """
    lengths = torch.tensor([frame.slices for frame in frames])
    edges = lengths.cumsum(0)
    drawn = torch.randint(int(edges[-1]), (count,), generator=generator)
    of = torch.searchsorted(edges, drawn, right=True)
    images, masks = [], []
    for number, flat in zip(of.tolist(), drawn.tolist(), strict=True):
        frame = frames[number]
        assert frame.mask is not None
        at = flat - int(edges[number]) + frame.slices
        images.append(_taken(frame.image, at, depth))
        masks.append(_taken(frame.mask[None], at, depth)[0])
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks)).long()


def _taken(image: NDArray[np.generic], at: int, depth: int | None) -> NDArray[np.generic]:
    """Slice ``at`` of [C, S, H, W], or ``depth`` slices around it, moved inside and padded by 0."""
    if depth is None:
        return image[:, at]
    slices = image.shape[1]
    first = min(max(at - depth // 2, 0), max(slices - depth, 0))
    patch = image[:, first : first + depth]
    missing = depth - patch.shape[1]
    if missing:
        patch = np.pad(patch, ((0, 0), (missing // 2, missing - missing // 2), (0, 0), (0, 0)))
    return patch


def save_frames(path: Path, frames: Sequence[Frame]) -> None:
    """All frames in one file, for the processes of a benchmark."""
    tensors, about = {}, []
    for number, frame in enumerate(frames):
        tensors[f"image{number}"] = torch.from_numpy(np.ascontiguousarray(frame.image))
        if frame.mask is not None:
            tensors[f"mask{number}"] = torch.from_numpy(np.ascontiguousarray(frame.mask))
        about.append([frame.name, frame.subject])
    save_checkpoint(path, {"frames": about, "tensors": tensors})


def load_frames(path: Path) -> list[Frame]:
    """What :func:`save_frames` wrote."""
    kept = load_checkpoint(path)
    tensors = kept["tensors"]
    return [
        Frame(
            name, subject, tensors[f"image{number}"].numpy(),
            tensors[f"mask{number}"].numpy() if f"mask{number}" in tensors else None,
        )
        for number, (name, subject) in enumerate(kept["frames"])
    ]  # fmt: skip
