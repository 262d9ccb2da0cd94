"""A folder of NIfTI files: images/ and labels/ of the same names, or images alone."""

from __future__ import annotations

from pathlib import Path

from nearfar_kit.errors import UserError
from nearfar_medical.cases import Case, DataSet, Role, case_name, nifti_files, stem_of, subject_of

__all__ = ["is_folder", "read_folder"]

# Folders of images, the folders that their labels lie in, and what they are for.
_PAIRS: tuple[tuple[str, str, Role | None], ...] = (
    ("images", "labels", None),
    ("imagesTr", "labelsTr", "training"),
    ("imagesVal", "labelsVal", "validation"),
    ("imagesTs", "labelsTs", "test"),
)
_MASK_ENDINGS = ("seg", "mask", "label", "labels", "gt")


def is_folder(path: Path) -> bool:
    """A NIfTI file, or a folder that holds some, itself or in a folder of images."""
    if path.is_file():
        return stem_of(path) != path.name
    return any(nifti_files(f) for f in (path, *_image_folders(path)))


def _image_folders(path: Path) -> list[Path]:
    return [path / name for name, _, _ in _PAIRS if (path / name).is_dir()]


def read_folder(path: Path) -> DataSet:
    """Cases of ``images/`` and ``labels/`` (or imagesTr, labelsTr, imagesTs), or of a flat folder.

    Raises:
        UserError: two files of one name, a label without its image, masks among the images.
    """
    if path.is_file():
        return DataSet((_case(path, None, None),), {}, "folder", path.parent)
    cases: list[Case] = []
    for name, labels, role in _PAIRS:
        if (path / name).is_dir():
            cases += _pairs(path / name, path / labels, role)
    if not cases:
        images = nifti_files(path)
        _expect_no_masks(images)
        cases = [_case(image, None, None) for image in images]
    return DataSet(tuple(cases), {}, "folder", path)


def _pairs(images: Path, labels: Path, role: Role | None) -> list[Case]:
    masks = _by_stem(labels) if labels.is_dir() else {}
    pictures = _by_stem(images)
    for stem, mask in masks.items():
        if stem not in pictures:
            raise UserError(f"{mask}: no image of this name; expected {images / mask.name}")
    return [_case(image, masks.get(stem), role) for stem, image in pictures.items()]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in nifti_files(folder):
        other = found.setdefault(stem_of(path), path)
        if other != path:
            raise UserError(f"{path}: {other.name} lies beside it; expected one of them")
    return found


def _case(image: Path, label: Path | None, role: Role | None) -> Case:
    name = case_name(stem_of(image))
    return Case(name, subject_of(name), (image,), label, role)


def _expect_no_masks(images: list[Path]) -> None:
    """In a flat folder CASE_seg.nii.gz beside CASE.nii.gz would pass for a volume of its own."""
    stems = {stem_of(image): image for image in images}
    for stem, image in stems.items():
        base, _, last = stem.replace("-", "_").rpartition("_")
        if last.lower() in _MASK_ENDINGS and stem[: len(base)] in stems:
            raise UserError(
                f"{image}: looks like the mask of {stems[stem[: len(base)]].name}; expected images "
                "in images/ and masks of the same names in labels/"
            )
