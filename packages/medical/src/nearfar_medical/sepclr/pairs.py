"""Background and target images side by side: from arrays, two folders, or two CSV lists."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

from nearfar_kit.errors import UserError
from nearfar_kit.frames import as_text, read_frame
from nearfar_medical.cases import subject_of

__all__ = ["Pairs", "first_image", "pairs_from_csv", "pairs_from_folders", "read_image"]

_PICTURES = (".png", ".jpg", ".jpeg")
_VOLUMES = (".nii", ".nii.gz")
_EXPECTED = "a .png, .jpg, .nii or .nii.gz"


@dataclass(frozen=True)
class Pairs:
    """Images of two populations.

    Args:
        images: [N, C, H, W] or [N, C, D, H, W] float32.
        is_target: [N] bool; both kinds occur.
        attributes: [N] each: floats are measures, NaN where unknown; strings are classes, empty
            where unknown.
        sources: where each image is from, for messages and tables; may be empty.
        subjects: whose each image is: no split parts them; empty: each its own.

    Raises:
        UserError: shapes or types disagree, or images are of one kind only.
    """

    images: Tensor
    is_target: Tensor
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        x, n = self.images, len(self.images)
        if x.ndim not in (4, 5) or x.dtype != torch.float32:
            raise UserError(
                f"images are {x.dtype} of shape {tuple(x.shape)}; expected float32 [N, C, H, W] "
                "or [N, C, D, H, W]"
            )
        if self.is_target.dtype != torch.bool or self.is_target.shape != (n,):
            raise UserError(
                f"is_target is {self.is_target.dtype} of shape {tuple(self.is_target.shape)}; "
                f"expected bool [{n}]"
            )
        targets = int(self.is_target.sum())
        if targets in (0, n):
            kind = "target" if targets else "background"
            raise UserError(f"all {n} images are {kind}; expected both background and target")
        for name, values in self.attributes.items():
            if values.shape != (n,) or values.dtype.kind not in "fU":
                raise UserError(
                    f"attribute {name} is {values.dtype} of shape {values.shape}; expected floats "
                    f"or strings [{n}]"
                )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> Pairs:
        """Some of the images, by number."""
        return Pairs(
            self.images[torch.from_numpy(rows)],
            self.is_target[torch.from_numpy(rows)],
            {name: values[rows] for name, values in self.attributes.items()},
            tuple(self.sources[n] for n in rows) if self.sources else (),
            tuple(self.subjects[n] for n in rows) if self.subjects else (),
        )

    def split(self, share: float, seed: int) -> tuple[Pairs, Pairs]:
        """Two parts, the second of about ``share`` of either population, subjects kept whole.

        Raises:
            UserError: a part would lack background or target.
        """
        subjects = np.array(self.subjects or [str(n) for n in range(len(self))])
        is_target = self.is_target.numpy()
        rng = np.random.default_rng(seed)
        aside = np.zeros(len(self), bool)
        for kind in (False, True):
            left = share * (is_target == kind).sum() - (aside & (is_target == kind)).sum()
            for subject in rng.permutation(np.unique(subjects[(is_target == kind) & ~aside])):
                if left <= 0:
                    break
                own = subjects == subject
                aside |= own
                left -= (own & (is_target == kind)).sum()
        for part in (aside, ~aside):
            if not (is_target[part].any() and (~is_target[part]).any()):
                raise UserError(
                    f"{len(np.unique(subjects))} subjects: too few to test on {share:g} of them; "
                    "expected background and target on both sides"
                )
        return self.take(np.flatnonzero(~aside)), self.take(np.flatnonzero(aside))


def first_image(source: Path) -> Path:
    """The first image of a folder or of a CSV list, which tells what the others are like."""
    if source.suffix.lower() == ".csv":
        _, row = _read_table(source)[0]
        return source.parent / (row["path"] or "").strip()
    return _images_of(source)[0]


def pairs_from_folders(
    background: Path, target: Path, *, size: Sequence[int] | None = None
) -> Pairs:
    """All images of two folders, by name: pictures (png, jpg) or volumes (NIfTI), not both.

    Args:
        size: rows, columns[, planes] to bring each image to; None: they must be of one size.

    Raises:
        UserError: a folder is missing or holds no image; an image cannot be read, or differs in
            kind or size from the first.
    """
    files, is_target = [], []
    for folder, kind in ((background, False), (target, True)):
        found = _images_of(folder)
        files += found
        is_target += [kind] * len(found)
    return Pairs(
        _stacked(files, [str(f) for f in files], size),
        torch.tensor(is_target),
        sources=tuple(map(str, files)),
        subjects=tuple(subject_of(f.name.removesuffix(_suffix(f))) for f in files),
    )


def pairs_from_csv(
    background: Path,
    target: Path,
    *,
    size: Sequence[int] | None = None,
    classes: Sequence[str] = (),
    measures: Sequence[str] = (),
) -> Pairs:
    """The images that two CSV tables list in column ``path``, relative to the table's folder.

    A column ``subject`` says whose an image is; without one, each is its own.

    Args:
        size: as in :func:`pairs_from_folders`.
        classes, measures: columns to keep as attributes, as strings and as numbers; a table that
            has no such column, or a row with nothing in it, gives "" or NaN; targets of at least
            one table must have it.

    Raises:
        UserError: a table is missing, empty or has no column ``path``; a row's image is missing or
            cannot be read; a measure is no number; no table has a column asked for.
    """
    files: list[Path] = []
    places: list[str] = []
    is_target: list[bool] = []
    rows: list[dict[str, str]] = []
    for table, kind in ((background, False), (target, True)):
        for number, row in _read_table(table):
            place = f"{table}, row {number}"
            if not (row["path"] or "").strip():
                raise UserError(f"{place}: path is empty; expected {_EXPECTED}")
            path = table.parent / row["path"].strip()  # an absolute path stays as it is
            if not path.is_file():
                raise UserError(f"{place}: {row['path']} does not exist; expected {_EXPECTED}")
            if not _suffix(path):
                raise UserError(f"{place}: {row['path']} is no image; expected {_EXPECTED}")
            files.append(path)
            places.append(f"{place}: {row['path']}")
            is_target.append(kind)
            rows.append(row)
    for name in (*classes, *measures):
        if not any(name in row for row in rows):
            raise UserError(f"{background}, {target}: neither has a column {name}")
    attributes: dict[str, np.ndarray] = {
        name: np.array([(row.get(name) or "").strip() for row in rows], dtype=np.str_)
        for name in classes
    }
    for name in measures:
        attributes[name] = np.array(
            [_number(row.get(name), name, place) for row, place in zip(rows, places, strict=True)]
        )
    subjects = [(row.get("subject") or "").strip() or str(file) for row, file in
                zip(rows, files, strict=True)]  # fmt: skip
    return Pairs(
        _stacked(files, places, size), torch.tensor(is_target), attributes, tuple(map(str, files)),
        tuple(subjects),
    )  # fmt: skip


def read_image(path: Path) -> Tensor:
    """[C, ...] float32: a picture [1 or 3, H, W] at 0 to 1, or a volume [1, R, A, S].

    A volume is turned to the axes right, anterior, superior, and its percentiles 1 and 99 are
    brought to 0 and 1. Transparency of a picture is dropped.

    Raises:
        UserError: the file cannot be read, is no volume of three axes, or has NaN or infinity.
    """
    if _suffix(path) in _VOLUMES:
        return torch.from_numpy(_read_volume(path))[None]
    try:
        with Image.open(path) as picture:
            # Depth of 16 bits comes as I;16 or I, and is lost in any conversion.
            deep = picture.mode.startswith("I")
            grey = deep or picture.mode in ("1", "L", "LA", "F")
            mode = "I" if deep else "L" if grey else "RGB"
            values = np.array(picture.convert(mode), dtype=np.float32)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, MemoryError,
            Image.DecompressionBombError) as error:  # fmt: skip
        raise UserError(f"{path}: cannot be read as an image ({_short(error)})") from None
    values /= np.float32(65535 if deep else 255)
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1)))


def _read_volume(path: Path) -> np.ndarray:
    try:
        volume = nib.as_closest_canonical(nib.load(path))
        values = np.asarray(volume.dataobj, dtype=np.float32)
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError, MemoryError,
            zlib.error) as error:  # fmt: skip
        raise UserError(f"{path}: cannot be read as NIfTI ({_short(error)})") from None
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise UserError(f"{path}: has shape {values.shape}; expected a volume of three axes")
    if not np.isfinite(values).all():
        raise UserError(f"{path}: has NaN or infinity; expected finite intensities")
    low, high = np.percentile(values, [1, 99])
    if not high > low:
        raise UserError(f"{path}: is {low:g} nearly everywhere; expected an image")
    scaled: np.ndarray = ((values - low) / (high - low)).astype(np.float32)
    return scaled


def _images_of(folder: Path) -> list[Path]:
    """By name."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a folder of images")
    found = sorted(p for p in folder.iterdir() if _suffix(p) and not p.name.startswith("."))
    if not found:
        raise UserError(f"{folder}: holds no image; expected {_EXPECTED}")
    return found


def _stacked(files: Sequence[Path], places: Sequence[str], size: Sequence[int] | None) -> Tensor:
    images: list[Tensor] = []
    for path, place in zip(files, places, strict=True):
        try:
            image = read_image(path)
        except UserError as error:
            # Of a table the row is named as well.
            raise UserError(place + str(error).removeprefix(str(path))) from None
        if images and image.ndim != images[0].ndim:
            raise UserError(f"{place}: pictures and volumes are mixed; expected one kind")
        if size is not None:
            if len(size) != image.ndim - 1:
                raise UserError(
                    f"{place}: has {image.ndim - 1} axes; size {tuple(size)} has {len(size)}"
                )
            image = _resized(image, size)
        elif images and image.shape[1:] != images[0].shape[1:]:
            raise UserError(
                f"{place}: is {_by(image)}; expected {_by(images[0])} as the first image, or --set "
                f"image_size=[{','.join(map(str, images[0].shape[1:]))}], which brings all to one"
            )
        images.append(image)
    # Grey pictures among colour ones are grey in three channels.
    channels = max(len(image) for image in images)
    return torch.stack([image.expand(channels, *image.shape[1:]) for image in images])


def _resized(image: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(image.shape[1:]) == tuple(size):
        return image
    if image.ndim == 4:
        return interpolate(image[None], tuple(size), mode="trilinear", align_corners=False)[0]
    return interpolate(
        image[None], tuple(size), mode="bilinear", align_corners=False, antialias=True
    )[0]


def _read_table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows with their numbers, the header not counted."""
    frame = read_frame(path)
    if "path" not in frame.columns:
        raise UserError(f"{path}: columns are {', '.join(frame.columns)}; expected a column path")
    if not frame.height:
        raise UserError(f"{path}: has no rows; expected one an image")
    texts = as_text(frame, path, *frame.columns).fill_null("")
    return list(enumerate(texts.iter_rows(named=True), 1))


def _number(text: str | None, name: str, place: str) -> float:
    if not (text or "").strip():
        return np.nan
    try:
        return float(text or "")
    except ValueError:
        raise UserError(f"{place}: {name} is {text!r}; expected a number") from None


def _suffix(path: Path) -> str:
    """The known ending of a file's name; empty: none."""
    name = path.name.lower()
    return next((end for end in (*_PICTURES, *_VOLUMES) if name.endswith(end)), "")


def _by(image: Tensor) -> str:
    return " x ".join(map(str, image.shape[1:]))


def _short(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return str(reason)
