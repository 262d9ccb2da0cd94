"""A folder of NIfTI files: images/ and labels/ of the same names, or images alone."""

from __future__ import annotations

import re
from pathlib import Path
from unicodedata import normalize

from nearfar_kit.errors import UserError
from nearfar_medical.cases import Case, DataSet, Role, case_name, nifti_files, stem_of, subject_of
from nearfar_medical.layouts.decathlon import class_names, read_object

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


def read_folder(path: Path, label_suffix: str | None = None, labels: bool = True) -> DataSet:
    """Cases of ``images/`` and ``labels/`` (or imagesTr, labelsTr, imagesTs), or of a flat folder.

    A ``dataset.json`` beside them may name the classes, by its ``labels`` alone.

    Args:
        label_suffix: what masks' names have after their images' (mask); others are left aside.
        labels: whether to look for masks at all.

    Raises:
        UserError: two files of one name, a label without its image, masks among the images, or
            none of the suffix.
    """
    if path.is_file():
        return _told((_case(path, None, None),), {}, path.parent)
    cases: list[Case] = []
    for name, beside, role in _PAIRS:
        if (path / name).is_dir():
            masks = path / beside if labels else None
            cases += _pairs(path / name, masks, role, label_suffix)
    if labels and label_suffix is not None and not any(case.label for case in cases):
        raise UserError(f"{path}: no mask in labels/ ends in {label_suffix!r}; expected some")
    if cases:
        file = path / "dataset.json"
        named = read_object(file).get("labels") if labels and file.is_file() else None
        return _told(tuple(cases), class_names(named, file), path)
    images = nifti_files(path)
    _expect_no_masks(images)
    return _told(tuple(_case(image, None, None) for image in images), {}, path)


def _told(cases: tuple[Case, ...], classes: dict[int, str], root: Path) -> DataSet:
    """With a note where a file's own name could not be a case's."""
    other = [case for case in cases if normalize("NFC", stem_of(case.images[0])) != case.name]
    note = () if not other else (
        f"{root}: {len(other)} of {len(cases)} names are changed to be fit for files, such as "
        f"{stem_of(other[0].images[0])!r} to {other[0].name!r}",
    )  # fmt: skip
    return DataSet(cases, classes, "folder", root, note)


def _pairs(
    images: Path, labels: Path | None, role: Role | None, suffix: str | None
) -> list[Case]:  # fmt: skip
    masks = _by_stem(labels) if labels is not None and labels.is_dir() else {}
    if suffix is not None:
        ends = re.compile(rf"(.+)[ ._-]{re.escape(suffix.lstrip(' ._-'))}")
        masks = {match[1]: mask for stem, mask in masks.items() if (match := ends.fullmatch(stem))}
    pictures = _by_stem(images)
    for stem, mask in masks.items():
        if stem not in pictures:
            own = max((p for p in pictures if re.match(rf"{re.escape(p)}[ ._-].", stem)),
                      key=len, default=None)  # fmt: skip
            hint = f", or --label-suffix {stem[len(own) + 1 :]}" if own and suffix is None else ""
            wanted = images / (stem + mask.name[len(stem_of(mask)) :])
            raise UserError(f"{mask}: no image of this name; expected {wanted}{hint}")
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
        base, _, last = stem.replace("-", "_").replace(" ", "_").rpartition("_")
        if last.lower() in _MASK_ENDINGS and stem[: len(base)] in stems:
            raise UserError(
                f"{image}: looks like the mask of {stems[stem[: len(base)]].name}; expected images "
                "in images/ and masks of the same names in labels/"
            )
