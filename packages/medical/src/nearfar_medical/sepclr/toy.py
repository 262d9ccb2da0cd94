"""Two made populations whose common and salient factors are known.

Digits on photographs, the toy of SepCLR (Louiset et al. 2024), and lesions implanted in real
volumes. Both are semi-synthetic: pictures are real, their putting together is not.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool3d, pad

from nearfar_kit.arrays import open_arrays
from nearfar_kit.errors import UserError
from nearfar_kit.gzip_files import unpack
from nearfar_medical.cache import prepare_case
from nearfar_medical.cases import find_cases
from nearfar_medical.prepare import Preparation
from nearfar_medical.sepclr.pairs import Pairs
from nearfar_medical.settings import MedicalSettings

__all__ = [
    "digits_on_photographs",
    "implanted_lesions",
    "read_cifar",
    "read_mnist",
    "small_hippocampi",
]

Split = Literal["train", "test"]
_IDX_IMAGES, _IDX_LABELS = 2051, 2049
_LARGEST = 2**20  # bytes of a JPEG of 32 x 32


def digits_on_photographs(
    mnist: Path, cifar: Path, split: Split, *, limit: int | None = None, seed: int = 0
) -> Pairs:
    """MNIST on CIFAR-10: photographs x 0.5, on half of them + 0.5 of a digit, padded to 32.

    Attributes: ``object``, of all photographs; ``digit``, of targets, "" for the rest. Which half a
    photograph is in, and its digit, follow from ``seed``, evenly over objects.

    Args:
        mnist, cifar: as in :func:`read_mnist` and :func:`read_cifar`.
        split: ``train`` or ``test``.
        limit: photographs to keep; None: all.

    Raises:
        UserError: as the readers; there are fewer digits than targets.
    """
    photographs, objects = read_cifar(cifar, split)
    digits, numerals = read_mnist(mnist, split)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(photographs))[:limit]
    # Alternate within each object: both halves then hold the same objects.
    order = order[np.argsort(objects[order], kind="stable")]
    is_target = np.arange(len(order)) % 2 == 1
    targets = np.flatnonzero(is_target)
    if len(targets) > len(digits):
        raise UserError(
            f"{mnist}: {len(digits)} {split} digits; expected {len(targets)}, one a target"
        )
    drawn = rng.permutation(len(digits))[: len(targets)]
    images = photographs[order].astype(np.float32) / 255 * 0.5
    padded = np.pad(digits[drawn].astype(np.float32) / 255, ((0, 0), (2, 2), (2, 2)))
    images[targets] += 0.5 * padded[..., None]
    digit = np.full(len(order), "", dtype="<U1")
    digit[targets] = numerals[drawn].astype("<U1")
    return Pairs(
        torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
        torch.from_numpy(is_target),
        {"object": objects[order], "digit": digit},
    )


def read_mnist(folder: Path, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Digits [N, 28, 28] uint8 and numerals [N], of ``mnist_train_10k.npz`` or the idx.gz files.

    Raises:
        UserError: neither is there, or a file is not what its name says.
    """
    packed = folder / f"mnist_{split}_10k.npz"
    if packed.is_file():
        with open_arrays(packed, "digits: arrays x and y") as arrays:
            return arrays["x"], arrays["y"]
    prefix = {"train": "train", "test": "t10k"}[split]
    images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", _IDX_IMAGES)
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", _IDX_LABELS)
    return images.reshape(len(labels), 28, 28), labels


def read_cifar(path: Path, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Photographs [N, 32, 32, 3] uint8 and objects [N] of files ``split/object/*.jpg``.

    Args:
        path: a folder, or a tar archive, or a folder that holds one tar archive.

    Raises:
        UserError: there is no such file, or none of the split in it, or one is not 32 x 32.
    """
    archives = sorted(path.glob("*.tar*")) if path.is_dir() else [path]
    if path.is_dir() and (path / split).is_dir():
        files = sorted((path / split).glob("*/*.jpg"))
        read = [(f.parent.name, f.name, f.read_bytes()) for f in files]
    elif len(archives) == 1 and archives[0].is_file():
        read = _from_archive(archives[0], split)
    else:
        raise UserError(f"{path}: no {split} folder and no tar archive; expected CIFAR-10 as JPEG")
    if not read:
        raise UserError(f"{path}: no picture under {split}/; expected {split}/OBJECT/*.jpg")
    pictures = []
    for name, file, content in read:
        try:
            picture = Image.open(io.BytesIO(content))
            if picture.size != (32, 32):
                raise UserError(f"{path}, {split}/{name}/{file}: expected a picture of 32 x 32")
            pictures.append(np.asarray(picture.convert("RGB")))
        except (OSError, Image.DecompressionBombError):
            raise UserError(f"{path}, {split}/{name}/{file}: cannot be read as JPEG") from None
    return np.stack(pictures), np.array([name for name, _, _ in read])


def implanted_lesions(
    volumes: Tensor,
    *,
    seed: int = 0,
    radius: tuple[float, float] = (3.0, 6.0),
    contrast: tuple[float, float] = (0.3, 0.8),
) -> Pairs:
    """Semi-synthetic: real volumes, half of them with a soft ellipsoid added, known in full.

    Targets have attributes ``radius`` (voxels, of the sphere of equal volume), ``contrast`` (what
    is added at the middle), ``depth``, ``row``, ``column`` (the middle's place, 0 to 1) and the
    class ``half`` (``low`` or ``high`` along the rows). Background has NaN and "".

    Args:
        volumes: [N, 1, D, H, W], about 0 to 1; none is changed.
        radius, contrast: ranges to draw from.

    Raises:
        UserError: fewer than two volumes, or the largest lesion does not fit.
    """
    if volumes.ndim != 5 or volumes.shape[1] != 1 or len(volumes) < 2:
        raise UserError(
            f"volumes have shape {tuple(volumes.shape)}; expected [N, 1, D, H, W], N >= 2"
        )
    sides = np.array(volumes.shape[2:])
    if sides.min() <= 2 * radius[1] + 2:
        raise UserError(
            f"volumes of {' x '.join(map(str, sides))}: a lesion of radius {radius[1]:g} does not "
            "fit; expected a smaller radius"
        )
    rng = np.random.default_rng(seed)
    n = len(volumes)
    is_target = np.zeros(n, dtype=bool)
    is_target[rng.permutation(n)[: n // 2]] = True
    images = volumes.to(torch.float32).clone()
    known = {k: np.full(n, np.nan) for k in ("radius", "contrast", "depth", "row", "column")}
    half = np.full(n, "", dtype="<U4")
    voxels = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij"), -1)  # D x H x W x 3
    for i in np.flatnonzero(is_target):
        size, strength = rng.uniform(*radius), rng.uniform(*contrast)
        axes = rng.uniform(0.8, 1.25, 3)
        axes = size * axes / axes.prod() ** (1 / 3)
        # The middle is at least a radius from every face.
        middle = rng.uniform(radius[1], sides - 1 - radius[1])
        distance = np.sqrt((((voxels - middle) / axes) ** 2).sum(-1))
        # One inside, half at the surface, nothing a voxel or so outside.
        lesion = strength / (1 + np.exp((distance - 1) * size * 2))
        images[i, 0] += torch.from_numpy(lesion.astype(np.float32))
        place = middle / (sides - 1)
        known["radius"][i], known["contrast"][i] = size, strength
        known["depth"][i], known["row"][i], known["column"][i] = place
        half[i] = "low" if place[1] < 0.5 else "high"
    return Pairs(images, torch.from_numpy(is_target), {**known, "half": half})


def small_hippocampi(folder: Path) -> tuple[Tensor, dict[str, np.ndarray]]:
    """Volumes [N, 1, 24, 32, 24] at 2 mm in RAS, and what their masks tell of each.

    ``volume`` is the hippocampus's in cm^3, ``anterior`` the share of class 1.

    Args:
        folder: volumes of 1 mm with masks, in any layout; larger ones are cut at their centre.

    Raises:
        UserError: no volume with a mask, or a faulty file.
    """
    settings = MedicalSettings(slice_axis=0, spacing=(1.0, 1.0), thickness=1.0, size=(64, 48))
    preparation = Preparation.of(settings)
    cases = find_cases(folder).labelled
    if not cases:
        raise UserError(f"{folder}: no volume has a mask; expected labelled ones")
    images, volume, anterior = [], [], []
    for case in cases:
        frame = prepare_case(case, preparation, {}, None).frame
        assert frame.mask is not None
        image = torch.from_numpy(frame.image)  # 1 x R x 64 x 48
        left = 48 - image.shape[1]
        image = pad(image, (0, 0, 0, 0, left // 2, left - left // 2))
        images.append(avg_pool3d(image, 2))
        found = int((frame.mask > 0).sum())
        volume.append(found / 1000)
        anterior.append(int((frame.mask == 1).sum()) / max(found, 1))
    return torch.stack(images), {"volume": np.array(volume), "anterior": np.array(anterior)}


def _from_archive(path: Path, split: str) -> list[tuple[str, str, bytes]]:
    """Object, name and content of each JPEG under ``split``, in order of names."""
    read = []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                parts = Path(member.name).parts
                if member.isfile() and len(parts) >= 3 and parts[-3] == split:
                    if member.size > _LARGEST:
                        raise UserError(
                            f"{path}: {member.name!r} claims {member.size} bytes; expected a "
                            "picture of 32 x 32"
                        )
                    file = archive.extractfile(member)
                    if file is not None and parts[-1].endswith(".jpg"):
                        read.append((parts[-2], parts[-1], file.read()))
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read as a tar archive ({error})") from None
    return sorted(read, key=lambda item: item[:2])


def _read_idx(path: Path, magic: int) -> np.ndarray:
    content = unpack(path)
    if int.from_bytes(content[:4], "big") != magic:
        raise UserError(f"{path}: is no idx file of type {magic}")
    header = 16 if magic == _IDX_IMAGES else 8
    return np.frombuffer(content, dtype=np.uint8, offset=header)
