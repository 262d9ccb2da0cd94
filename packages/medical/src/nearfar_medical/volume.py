"""Volumes: NIfTI files read into RAS, and masks written back on the very voxels they came from."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_medical.cases import ENDINGS, Case
from nearfar_medical.codes import LARGEST, MOST

__all__ = [
    "Grid",
    "Volume",
    "classes_in",
    "on_file_axes",
    "read_grid",
    "read_mask",
    "read_volume",
    "write_mask",
]

TOLERANCE = 1e-3  # between the entries of two affines that are one
_UNITS = {1: ("meter", 1e3), 2: ("mm", 1.0), 3: ("micron", 1e-3)}  # NIfTI's codes, and mm of each
# The fields of a header that say where voxels lie. No other is kept: some hold patients' names.
_GEOMETRY = (
    "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c",
    "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
)  # fmt: skip
# Bytes that one byte of deflate can stand for; a header that asks for more is damaged or a trap.
_DEFLATE = 1032


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels in RAS: axis 1 to the right, 2 anterior, 3 superior, as near as the grid comes.

    Attributes:
        image: float32 [C, X, Y, Z].
        affine: [4, 4], from voxels to the scanner's space in the file's units.
        spacing: mm between voxels along X, Y, Z.
        name: of the file, for messages.
    """

    image: NDArray[np.float32]
    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    name: str = "volume"


@dataclass(frozen=True, eq=False)
class Grid:
    """A file's own voxels: all that a mask needs to lie on them.

    Attributes:
        shape: (I, J, K) of the file.
        affine: [4, 4], of the file's voxels.
        orientation: [3, 2], nibabel's: RAS axis and sign of each of the file's axes.
        header: whose geometry fields, codes and units are written back.
        path: of the file, for messages.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    orientation: NDArray[np.float64]
    header: nib.Nifti1Header
    path: Path

    @property
    def sform_code(self) -> int:
        return int(self.header["sform_code"])

    @property
    def qform_code(self) -> int:
        return int(self.header["qform_code"])

    @property
    def units(self) -> str:
        """Of space: mm, meter, micron, unknown (then taken for mm)."""
        return _UNITS.get(_unit(self.header), ("unknown", 1.0))[0]

    @property
    def codes(self) -> str:
        """The directions that the file's axes point in, such as LPS."""
        return "".join(nib.orientations.ornt2axcodes(self.orientation))

    @property
    def ras_shape(self) -> tuple[int, int, int]:
        axes = np.argsort(self.orientation[:, 0])
        i, j, k = (self.shape[axis] for axis in axes)
        return (i, j, k)

    @property
    def ras_affine(self) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = self.affine @ inv_ornt_aff(self.orientation, self.shape)
        return moved

    @property
    def spacing(self) -> tuple[float, float, float]:
        """mm between voxels along the axes of RAS."""
        _, mm = _UNITS.get(_unit(self.header), ("unknown", 1.0))
        x, y, z = nib.affines.voxel_sizes(self.ras_affine) * mm
        return (float(x), float(y), float(z))


def read_grid(path: Path) -> Grid:
    """A file's voxels, by its header alone.

    Raises:
        UserError: no NIfTI file, no extent, or a geometry that is none.
    """
    return _grid(_opened(path), path)


def read_volume(case: Case) -> tuple[Volume, Grid]:
    """A case's channels in RAS, and the grid of its file.

    Raises:
        UserError: a file is missing, no NIfTI, damaged, or empty; it holds NaN or infinity;
            the channels lie on different grids.
    """
    first = case.images[0]
    grid = read_grid(first)
    channels: list[NDArray[np.float32]] = []
    for path in case.images:
        own = grid if path == first else read_grid(path)
        if path != first:
            _expect_same(own, grid, path)
        voxels = _voxels(path, np.float32)
        if voxels.ndim == 4 and voxels.shape[3] > 1 and len(case.images) > 1:
            raise UserError(
                f"{path}: holds {voxels.shape[3]} volumes, and is one of {len(case.images)} files; "
                "expected one volume a file, or one file with all channels"
            )
        _expect_finite(voxels, path)
        voxels = voxels.reshape(*voxels.shape[:3], -1)  # I x J x K x channels
        channels += [_to_ras(voxels[..., n], grid, own) for n in range(voxels.shape[3])]
    image = np.stack(channels).astype(np.float32, copy=False)
    return Volume(image, grid.ras_affine, grid.spacing, str(first)), grid


def read_mask(path: Path, grid: Grid, classes: Mapping[int, str]) -> NDArray[np.integer]:
    """A mask of the file's own codes in RAS, [X, Y, Z], uint8 where they fit, else uint16.

    The mask's axes may run otherwise than the image's, so long as its voxels lie on the same
    places.

    Args:
        grid: of the image that the mask belongs to.
        classes: whose codes the mask may hold; empty: any of 0 to 65535.

    Raises:
        UserError: the mask lies elsewhere, or holds other values.
    """
    own = read_grid(path)
    _expect_same(own, grid, path)
    voxels = _voxels(path, np.float32)
    if voxels.ndim == 4 and voxels.shape[3] > 1:
        raise UserError(f"{path}: holds {voxels.shape[3]} volumes; expected one mask")
    voxels = voxels.reshape(voxels.shape[:3])
    _expect_finite(voxels, path)
    whole = np.rint(voxels)
    if len(broken := np.unique(voxels[np.abs(voxels - whole) > 1e-4])):
        raise UserError(f"{path}: mask holds {_listed(broken)}; expected whole numbers")
    if len(outside := np.unique(whole[(whole < 0) | (whole > LARGEST)])):
        raise UserError(f"{path}: mask holds {_listed(outside)}; expected 0 to {LARGEST}")
    mask = whole.astype(_kind(whole))
    values = np.flatnonzero(np.bincount(mask.ravel()))
    if classes and len(unknown := values[~np.isin(values, list(classes))]):
        known = ", ".join(f"{value} {name}" for value, name in sorted(classes.items()))
        raise UserError(f"{path}: mask holds {_listed(unknown)}; expected some of {known}")
    return _to_ras(mask, grid, own)


def write_mask(path: Path, mask_ras: NDArray[np.integer], grid: Grid) -> None:
    """Writes a mask [X, Y, Z] in RAS on the grid's voxels, with its affine and codes.

    As uint16 if it is that or holds more than 255, else as uint8. The ending .nii.gz compresses.
    The file appears whole or not at all.
    """
    if mask_ras.shape != grid.ras_shape:
        raise ValueError(f"mask is {mask_ras.shape}; expected {grid.ras_shape}")
    if not np.issubdtype(mask_ras.dtype, np.integer) or not (
        mask_ras.min() >= 0 and mask_ras.max() <= LARGEST
    ):
        raise ValueError(f"mask is {mask_ras.dtype}; expected whole numbers from 0 to {LARGEST}")
    if not path.name.lower().endswith(ENDINGS):
        raise UserError(f"{path}: expected a name that ends in .nii.gz or .nii")
    voxels = on_file_axes(mask_ras, grid)
    second = isinstance(grid.header, nib.Nifti2Header)
    made: Any = nib.Nifti2Image if second else nib.Nifti1Image
    image = made(voxels, None)
    header = image.header
    for name in _GEOMETRY:
        header[name] = grid.header[name]
    header["pixdim"][:4] = grid.header["pixdim"][:4]
    header["xyzt_units"] = _unit(grid.header)  # of space; a mask has no time
    # A file without codes has its axes by nibabel's rule; else nibabel reads the codes' own.
    content = type(image)(voxels, None, header).to_bytes()
    if path.name.lower().endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    write_atomic(path, content)


def on_file_axes(mask_ras: NDArray[np.integer], grid: Grid) -> NDArray[np.integer]:
    """A mask [X, Y, Z] in RAS along the axes of the grid's file, as uint8 or uint16."""
    back = ornt_transform(axcodes2ornt("RAS"), grid.orientation)
    # Masks of one model are of one kind, whatever each holds.
    kind = mask_ras.dtype if mask_ras.dtype == np.uint16 else _kind(mask_ras)
    return np.ascontiguousarray(apply_orientation(mask_ras.astype(kind), back))


def classes_in(cases: Iterable[Case]) -> dict[int, str]:
    """Codes and names of the classes in the cases' masks, where their layout tells none.

    Raises:
        UserError: the masks have background alone, or so many codes that they are no masks.
    """
    found = {0}
    for case in cases:
        if case.label is not None:
            found |= set(np.unique(read_mask(case.label, read_grid(case.images[0]), {})).tolist())
            if len(found) > MOST:
                raise UserError(
                    f"{case.label}: with it the masks hold {len(found)} codes; expected at most "
                    f"{MOST}, one a class: is it an image?"
                )
    if found == {0}:
        raise UserError("labels: the masks hold background alone; expected one class at least")
    return {code: f"class {code}" if code else "background" for code in sorted(found)}


def _unit(header: nib.Nifti1Header) -> int:
    """The code of space; above its three bits is that of time."""
    return int(header["xyzt_units"]) & 7


def _opened(path: Path) -> nib.Nifti1Image:
    """A file's header; no voxel is read."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a NIfTI volume")
    if not path.name.lower().endswith(ENDINGS):
        raise UserError(f"{path}: expected a NIfTI file, .nii.gz or .nii")
    try:
        image = nib.load(path)
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError,
            zlib.error):  # fmt: skip
        raise UserError(f"{path}: is no NIfTI file, or a damaged one") from None
    if not isinstance(image, nib.Nifti1Image):  # Nifti2Image is one, too
        raise UserError(f"{path}: holds {type(image).__name__}; expected NIfTI")
    return image


def _grid(image: nib.Nifti1Image, path: Path) -> Grid:
    shape = tuple(int(side) for side in image.shape)
    extent = "x".join(map(str, shape))
    if not shape or min(shape) < 1:
        raise UserError(f"{path}: is empty ({extent or 'no'} voxels); expected a volume")
    if len(shape) < 3 or len(shape) > 5 or (len(shape) == 5 and shape[3] > 1):
        raise UserError(f"{path}: is {extent}; expected 3 axes, or 4 with channels")
    try:
        affine = np.asarray(image.affine, dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise UserError(f"{path}: affine cannot be read ({_line(error)})") from None
    # Where axes fall together, some axis of the file has no direction of its own: NaN.
    finite = np.isfinite(affine).all()
    orientation = io_orientation(affine) if finite else np.full((3, 2), np.nan)
    if not np.isfinite(orientation).all():
        raise UserError(f"{path}: affine is {affine[:3].tolist()}; expected one with a volume")
    return Grid((shape[0], shape[1], shape[2]), affine, orientation, image.header.copy(), path)


def _voxels(path: Path, dtype: type[np.floating]) -> NDArray[np.floating]:
    """All voxels [I, J, K] or [I, J, K, channels], of a file that is whole to its last byte."""
    image: Any = _opened(path)
    kind = image.get_data_dtype()
    if kind.fields is not None or kind.kind not in "iuf":
        raise UserError(f"{path}: voxels are {kind}; expected one number each")
    shape = tuple(int(side) for side in image.shape)
    count = 1
    for side in shape:
        count *= side
    offset = int(image.dataobj.offset)
    needed = offset + count * kind.itemsize
    size = path.stat().st_size
    squeezed = path.name.lower().endswith(".gz")
    if offset < 0 or size * (_DEFLATE if squeezed else 1) < needed:
        raise UserError(f"{path}: is cut short ({size} bytes); expected {needed} of voxels")
    try:
        with gzip.open(path) if squeezed else path.open("rb") as file:
            content = file.read(needed)
            file.read(1)  # at its end gzip compares the checksum, which nibabel leaves aside
        if len(content) < needed:
            raise EOFError(f"{len(content)} of {needed} bytes")
        found: NDArray[np.floating] = (
            type(image).from_bytes(content).get_fdata(dtype=dtype, caching="unchanged")
        )
    except (OSError, EOFError, ValueError, MemoryError, zlib.error, HeaderDataError,
            ImageFileError) as error:  # fmt: skip
        raise UserError(f"{path}: is cut short or damaged ({_line(error)})") from None
    # A vector a voxel, as ITK writes channels, is I x J x K x 1 x channels.
    return found[:, :, :, 0] if found.ndim == 5 else found


def _expect_same(own: Grid, grid: Grid, path: Path) -> None:
    """The same places, though the axes may run otherwise."""
    here, there = own.ras_shape, grid.ras_shape
    if here != there and own.shape != grid.shape:
        raise UserError(
            f"{path}: is {'x'.join(map(str, own.shape))} {own.codes}, but {grid.path} is "
            f"{'x'.join(map(str, grid.shape))} {grid.codes}; expected the same grid"
        )
    if _alike(own.affine, grid.affine) and own.shape == grid.shape:
        return
    if here != there or not _alike(own.ras_affine, grid.ras_affine):
        far = float(np.abs(own.ras_affine - grid.ras_affine).max())
        raise UserError(
            f"{path}: its affine differs from that of {grid.path} by up to {far:.3g} "
            f"({own.codes} and {grid.codes}); expected the same grid"
        )


def _alike(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return bool(np.allclose(a, b, rtol=0, atol=TOLERANCE))


def _expect_finite(voxels: NDArray[np.floating], path: Path) -> None:
    if not (finite := np.isfinite(voxels)).all():
        nan = int(np.isnan(voxels).sum())
        infinite = int((~finite).sum()) - nan
        raise UserError(
            f"{path}: {nan} voxels are NaN and {infinite} infinite, of {voxels.size}; "
            "expected numbers"
        )


def _to_ras(voxels: NDArray[np.generic], grid: Grid, own: Grid) -> NDArray[Any]:
    """[I, J, K] -> [X, Y, Z]. An affine halfway between two axes must be turned as the image's."""
    same = own.shape == grid.shape and _alike(own.affine, grid.affine)
    return np.ascontiguousarray(
        apply_orientation(voxels, grid.orientation if same else own.orientation)
    )


def _kind(mask: NDArray[np.generic]) -> type[np.uint8 | np.uint16]:
    return np.uint8 if mask.max() <= 255 else np.uint16


def _line(error: Exception) -> str:
    """nibabel's messages have several."""
    return " ".join(str(error).split())


def _listed(values: NDArray[np.generic]) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:5].tolist())
    return shown + (f" and {len(values) - 5} more" if len(values) > 5 else "")
