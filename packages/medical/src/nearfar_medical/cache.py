"""Prepared volumes on disk, so that a data set is prepared once.

One safetensors file a case, whose name has the hash of all that decides on its content: settings,
classes, and each file's path, size and time of change. It appears whole or not at all; one that
is damaged is made again. Files of older settings stay; the folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.progress import Progress
from nearfar_medical.cases import Case
from nearfar_medical.codes import to_numbers
from nearfar_medical.frames import Frame
from nearfar_medical.prepare import Placement, Preparation
from nearfar_medical.volume import Grid, read_grid, read_mask, read_volume

__all__ = ["PreparedCase", "prepare_case", "prepare_cases", "prepared"]

FORMAT = 2  # one more whenever the same settings give other voxels


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case as the network sees it, and the way back to its file's voxels."""

    frame: Frame
    placement: Placement
    grid: Grid


def prepared(
    cases: Sequence[Case],
    preparation: Preparation,
    classes: Mapping[int, str],
    folder: Path | None,
    *,
    quiet: bool = True,
) -> list[Frame]:
    """The frames of :func:`prepare_cases`."""
    made = prepare_cases(cases, preparation, classes, folder, quiet=quiet)
    return [case.frame for case in made]


def prepare_cases(
    cases: Sequence[Case],
    preparation: Preparation,
    classes: Mapping[int, str],
    folder: Path | None,
    *,
    quiet: bool = True,
) -> list[PreparedCase]:
    """Every case prepared, in order, from the cache where it is there.

    Args:
        classes: whose codes masks may hold; empty: any of 0 to 255, each its own class.
        folder: of the cache, made if missing; None: no cache.
        quiet: whether to show no progress.

    Raises:
        UserError: a fault in a file, or a folder that cannot be written.
    """
    made = []
    with Progress("prepare", len(cases), quiet=quiet) as bar:
        for case in cases:
            made.append(prepare_case(case, preparation, classes, folder))
            bar.advance(last=case.name)
    return made


def prepare_case(
    case: Case, preparation: Preparation, classes: Mapping[int, str], folder: Path | None
) -> PreparedCase:
    """One case; see :func:`prepare_cases`."""
    path = None if folder is None else folder / f"{case.name}-{_key(case, preparation, classes)}"
    path = path and path.with_name(f"{path.name}.safetensors")
    kept = None if path is None else _kept(path, case)
    if kept is not None:
        frame, placement = kept
        return PreparedCase(frame, placement, read_grid(case.images[0]))
    volume, grid = read_volume(case)
    mask = (
        None if case.label is None
        else to_numbers(read_mask(case.label, grid, classes), classes)
    )  # fmt: skip
    image, placed, placement = preparation.apply(volume, mask)
    frame = Frame(case.name, case.subject, np.ascontiguousarray(image), placed)
    if path is not None:
        _keep(path, frame, placement)
    return PreparedCase(frame, placement, grid)


def _key(case: Case, preparation: Preparation, classes: Mapping[int, str]) -> str:
    """16 hexadecimal digits."""
    files: list[Any] = []
    for path in (*case.images, case.label):
        if path is None:
            files.append(None)
            continue
        try:
            state = path.stat()
        except OSError:
            raise UserError(f"{path}: no such file; expected a NIfTI volume") from None
        files.append([str(path.resolve()), state.st_size, state.st_mtime_ns])
    content = [FORMAT, asdict(preparation), sorted(classes), files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _digest(arrays: Sequence[NDArray[np.generic] | None]) -> str:
    """Of the voxels: safetensors itself does not notice a changed bit."""
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if array is not None:
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _keep(path: Path, frame: Frame, placement: Placement) -> None:
    tensors = {"image": torch.from_numpy(frame.image)}
    if frame.mask is not None:
        tensors["mask"] = torch.from_numpy(np.ascontiguousarray(frame.mask))
    digest = _digest([frame.image, frame.mask])
    try:
        save_checkpoint(path, {**tensors, "placement": asdict(placement), "digest": digest})
    except OSError as error:  # of making the folder
        raise UserError(f"{path.parent}: cannot be written ({error.strerror or error})") from error


def _kept(path: Path, case: Case) -> tuple[Frame, Placement] | None:
    """What the cache holds, or None where it is not there, or damaged."""
    if not path.exists():
        return None
    try:
        state = load_checkpoint(path)
        image = state["image"].numpy()
        mask = state["mask"].numpy() if "mask" in state else None
        placement = Placement(**state["placement"])
    except (UserError, KeyError, TypeError, AttributeError):
        return None
    if state.get("digest") != _digest([image, mask]) or (mask is None) != (case.label is None):
        return None
    return Frame(case.name, case.subject, image, mask), placement
