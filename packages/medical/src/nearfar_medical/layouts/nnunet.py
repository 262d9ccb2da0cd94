"""nnU-Net's raw data: imagesTr/CASE_0000.nii.gz a channel, labelsTr/CASE.nii.gz, dataset.json."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_medical.cases import ENDINGS, Case, DataSet, Role, case_name, nifti_files, subject_of
from nearfar_medical.layouts.decathlon import class_names, file_inside, read_object

__all__ = ["is_nnunet", "read_nnunet"]

_FOLDERS: tuple[tuple[str, str, Role], ...] = (
    ("imagesTr", "labelsTr", "training"),
    ("imagesTs", "labelsTs", "test"),
)
_CHANNEL = re.compile(r"(.+)_(\d{4})")


def is_nnunet(path: Path) -> bool:
    """A folder with images of numbered channels, or with nnU-Net v2's dataset.json."""
    if not path.is_dir() or not any((path / name).is_dir() for name, _, _ in _FOLDERS):
        return False
    file = path / "dataset.json"
    content = read_object(file) if file.is_file() else {}
    if "channel_names" in content or "file_ending" in content:
        return True
    # nnU-Net v1 wrote the Decathlon's lists too, of names without the channel: no such files.
    listed = content.get("training")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        image = listed[0].get("image")
        if isinstance(image, str) and (path / image).is_file():
            return False
    found = [
        p for name, _, _ in _FOLDERS if (path / name).is_dir() for p in nifti_files(path / name)
    ]
    return any(p.name.lower().endswith(tuple(f"_0000{e}" for e in ENDINGS)) for p in found)


def read_nnunet(path: Path) -> DataSet:
    """Cases of imagesTr (training) and imagesTs (test), v1 or v2, or of one folder of channels.

    An image without a label is unlabelled.

    Raises:
        UserError: a fault in dataset.json, a channel too many or too few, a label without images.
    """
    file = path / "dataset.json"
    content = read_object(file) if file.is_file() else {}
    endings: tuple[str, ...] = ENDINGS
    if (ending := content.get("file_ending")) is not None:
        if ending not in ENDINGS:
            raise UserError(f"{file}: file_ending is {ending!r}; expected .nii.gz or .nii")
        endings = (ending,)
    names = content.get("channel_names", content.get("modality"))
    if names is not None and (not isinstance(names, dict) or not names):
        raise UserError(f"{file}: channel_names is {names!r}; expected a name for each channel")
    channels = len(names) if names else None
    cases: list[Case] = []
    if isinstance(content.get("dataset"), dict):
        cases += _listed(content["dataset"], path, file, channels)
    else:
        folders = [f for f in _FOLDERS if (path / f[0]).is_dir()]
        for images, labels, role in folders:
            cases += _numbered(path / images, path / labels, role, channels, endings)
        if not folders:
            cases += _numbered(path, None, None, channels, endings)
    return DataSet(tuple(cases), class_names(content.get("labels"), file), "nnunet", path)


def _numbered(
    images: Path, labels: Path | None, role: Role | None, channels: int | None,
    endings: tuple[str, ...],
) -> list[Case]:  # fmt: skip
    found: dict[str, dict[int, Path]] = {}
    for path in nifti_files(images):
        name = _without(path, endings)
        match = _CHANNEL.fullmatch(name) if name else None
        if match is None:
            raise UserError(f"{path}: expected a name like CASE_0000{endings[0]}, with its channel")
        other = found.setdefault(match[1], {}).setdefault(int(match[2]), path)
        if other != path:
            raise UserError(f"{path}: {other.name} lies beside it; expected one of them")
    if channels is None:
        channels = max((len(files) for files in found.values()), default=1)
    masks: dict[str, Path] = {}
    if labels is not None and labels.is_dir():
        masks = {n: p for p in nifti_files(labels) if (n := _without(p, endings)) is not None}
    for name, mask in masks.items():
        if name not in found:
            raise UserError(f"{mask}: no images of this case; expected {images}/{name}_0000...")
    cases = []
    for stem, files in found.items():
        if sorted(files) != list(range(channels)):
            raise UserError(
                f"{images}: case {stem} has the channels {sorted(files)}; expected 0 to "
                f"{channels - 1}, as dataset.json and the other cases have them"
            )
        name = case_name(stem)
        ordered = tuple(files[number] for number in range(channels))
        cases.append(Case(name, subject_of(name), ordered, masks.get(stem), role))
    return cases


def _without(path: Path, endings: tuple[str, ...]) -> str | None:
    return next((path.name[: -len(e)] for e in endings if path.name.lower().endswith(e)), None)


def _listed(entries: dict[str, Any], root: Path, file: Path, channels: int | None) -> list[Case]:
    """nnU-Net v2's ``dataset``: the files of each training case by name."""
    cases = []
    for key, entry in entries.items():
        where = f"{file}: dataset[{key!r}]"
        images = entry.get("images") if isinstance(entry, dict) else None
        if not isinstance(images, list) or not images:
            raise UserError(f"{where}: no images; expected a list of files")
        if channels is not None and len(images) != channels:
            raise UserError(f"{where}: {len(images)} images; expected {channels}, one a channel")
        files = tuple(file_inside(root, text, f"{where}, images") for text in images)
        label = entry.get("label")
        mask = None if label is None else file_inside(root, label, f"{where}, label")
        name = case_name(key)
        cases.append(Case(name, subject_of(name), files, mask, "training"))
    return cases
