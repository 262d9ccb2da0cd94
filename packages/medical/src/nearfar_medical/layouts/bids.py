"""BIDS: sub-01/[ses-1/]anat/sub-01_T1w.nii.gz, masks in derivatives/."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nearfar_kit.errors import UserError
from nearfar_medical.cases import Case, DataSet, case_name, nifti_files, stem_of

__all__ = ["is_bids", "read_bids"]

# Entities that only derivatives have; by any other a file is of another image.
_DERIVED = {"label", "desc", "space", "res", "den", "seg", "atlas", "scale"}


def is_bids(path: Path) -> bool:
    """A folder that describes itself as BIDS, or holds folders of subjects with anat/."""
    if not path.is_dir():
        return False
    return bool(_anat_folders(path))


def _anat_folders(root: Path) -> list[Path]:
    found = [*root.glob("sub-*/anat"), *root.glob("sub-*/ses-*/anat")]
    return sorted(folder for folder in found if folder.is_dir())


def read_bids(
    path: Path,
    image_suffix: str | None = None,
    label_suffix: str | None = None,
    labels: bool = True,
) -> DataSet:
    """Cases of ``sub-*/[ses-*/]anat``, with their masks of ``derivatives/labels`` if any.

    A mask is called as its image, with or without the image's suffix, and then by a suffix of its
    own: ``sub-01_T2starw_gmseg-manual``, ``sub-01_desc-manual_dseg``. Sessions and runs of one
    folder ``sub-*`` share their subject.

    Args:
        image_suffix: of the images (T1w); None: the only one there is.
        label_suffix: of the masks (gmseg, gmseg-manual); None: the only one there is.
        labels: whether to look for masks at all.

    Raises:
        UserError: there are several suffixes to choose from, or none as asked for.
    """
    images = [file for folder in _anat_folders(path) for file in nifti_files(folder)]
    by_suffix: dict[str, list[Path]] = {}
    for file in images:
        by_suffix.setdefault(stem_of(file).rpartition("_")[2], []).append(file)
    suffix = _chosen(path, "image", image_suffix, by_suffix)
    masks = _masks(path) if labels else {}
    found = {file: _masks_of(file, path, masks) for file in by_suffix[suffix]}
    kinds = sorted({kind for candidates in found.values() for kind in candidates})
    if kinds:
        label_suffix = _chosen(path, "label", label_suffix, kinds)
    elif labels and label_suffix is not None:
        raise UserError(f"{path}: no masks in derivatives/; expected some of _{label_suffix}")
    cases = []
    for file, candidates in found.items():
        name = case_name(stem_of(file))
        mine = [mask for kind in candidates if kind == label_suffix for mask in candidates[kind]]
        if len(mine) > 1:
            raise UserError(f"{mine[0]}: is called like {mine[1]}; expected one mask of {name}")
        subject = file.relative_to(path).parts[0]
        cases.append(Case(name, subject, (file,), mine[0] if mine else None))
    return DataSet(tuple(cases), {}, "bids", path)


def _is_called(kind: str, wanted: str) -> bool:
    """``desc-manual_gmseg-auto`` is called so, or ``gmseg-auto``, or ``gmseg``; never ``seg``."""
    last = kind.rpartition("_")[2]
    return wanted.lstrip("_") in (kind, last, last.partition("-")[0])


def _chosen(path: Path, what: str, wanted: str | None, kinds: Iterable[str]) -> str:
    kinds = sorted(kinds)
    named = ", ".join(kinds)
    if not kinds:
        raise UserError(f"{path}: holds no volume; expected sub-01/anat/sub-01_T1w.nii.gz")
    if wanted is None:
        if len(kinds) > 1:
            raise UserError(f"{path}: {what}s of {named}; expected one: choose by --{what}-suffix")
        return kinds[0]
    matching = [kind for kind in kinds if kind == wanted]
    matching = matching or [kind for kind in kinds if _is_called(kind, wanted)]
    if len(matching) != 1:
        number = "no" if not matching else "several"
        raise UserError(f"{path}: {number} {what}s called _{wanted}; expected one of {named}")
    return matching[0]


def _masks(root: Path) -> dict[Path, list[Path]]:
    """Masks by the folder, sub-01/anat, that they lie in; of ``derivatives/labels`` if any."""
    derivatives = root / "derivatives"
    labels = derivatives / "labels"
    if labels.is_dir():
        pipelines = [labels]
    elif derivatives.is_dir():
        pipelines = sorted(p for p in derivatives.iterdir() if p.is_dir())
    else:
        pipelines = []
    found: dict[Path, list[Path]] = {}
    for pipeline in pipelines:
        for folder in _anat_folders(pipeline):
            found.setdefault(folder.relative_to(pipeline), []).extend(nifti_files(folder))
    return found


def _masks_of(image: Path, root: Path, masks: dict[Path, list[Path]]) -> dict[str, list[Path]]:
    """An image's masks by suffix."""
    stem = stem_of(image)
    entities = stem.rpartition("_")[0]
    found: dict[str, list[Path]] = {}
    for mask in masks.get(image.parent.relative_to(root), []):
        name = stem_of(mask)
        start = next((s for s in (stem, entities) if name.startswith(f"{s}_")), None)
        if start is None:
            continue
        kind = name[len(start) + 1 :]
        *middle, _ = kind.split("_")
        if all(part.partition("-")[0] in _DERIVED for part in middle):
            found.setdefault(kind, []).append(mask)
    return found
