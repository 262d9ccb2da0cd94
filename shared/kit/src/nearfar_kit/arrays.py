"""Arrays of strangers: what is read is no larger than was thought, and runs no code."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfar_kit.errors import UserError, first_line

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["check_names", "map_array", "names_array", "open_arrays", "read_array", "read_tensor"]

LARGEST = 2**32
# Bytes that an array of names may always have, and how many times those of the names themselves.
LEAST_NAMES = 2**28
TIMES = 100
LONG = 256  # characters: of names up to that length an array may have any number


def names_array(names: Sequence[str], where: object) -> np.ndarray:
    """[n] of text, in which each takes the room of the longest.

    Args:
        where: the names stand, for the error.

    Raises:
        UserError: as :func:`check_names`.
    """
    import numpy as np

    check_names(names, where)
    return np.array(names, dtype=np.str_)


def check_names(names: Sequence[str], where: object) -> None:
    """Refuses names that no array of text should hold.

    Raises:
        UserError: one is so much longer than the others that all would take too much; one ends in
            the character 0, which such an array drops; one is no text.
    """
    if not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}: holds a name that is no text")
    longest = max(map(len, names), default=0)
    size = 4 * longest * len(names)
    if longest > LONG and size > max(LEAST_NAMES, TIMES * sum(map(len, names))):
        raise UserError(
            f"{where}: holds a name of {longest} characters among {len(names)}; expected names of "
            "like length"
        )
    if any(name.endswith("\0") for name in names):
        raise UserError(f"{where}: holds a name that ends in the character 0")


@contextmanager
def open_arrays(path: Path, expected: str, *, largest: int = LARGEST) -> Iterator[Any]:
    """The arrays of an ``.npz`` by name, read where they are asked for.

    Args:
        expected: what the file should hold, for the error.
        largest: bytes that all arrays together may unpack to.

    Raises:
        UserError: there is no such file, it is damaged, holds objects, lacks what the block asks
            for, unpacks to more than ``largest`` or claims to hold more than there is memory.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > largest:
            raise UserError(f"{path}: unpacks to {size} bytes, more than {largest}; refused")
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError, KeyError, EOFError, MemoryError, RuntimeError,
            zipfile.BadZipFile) as error:  # fmt: skip
        told = first_line(error)
        raise UserError(f"{path}: not {expected} ({told})") from error


def map_array(path: Path) -> np.ndarray:
    """The array of an ``.npy``, left on the disk until it is looked at, and not to be written to.

    Raises:
        UserError: it cannot be read, is no such file, holds objects or claims to hold more than
            it does.
    """
    import numpy as np

    try:
        # A map of the file: no memory is taken for what its header claims.
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, OverflowError, MemoryError, SyntaxError, TypeError) as error:
        raise UserError(f"{path}: is no array, or a damaged one ({first_line(error)})") from None


def read_array(path: Path) -> np.ndarray:
    """The array of an ``.npy``, in memory.

    Raises:
        UserError: as :func:`map_array`.
    """
    import numpy as np

    return np.array(map_array(path))


def read_tensor(path: Path) -> Tensor:
    """The tensor that ``torch.save`` left in a file; nothing in it is run.

    Raises:
        UserError: it cannot be read, holds something else than one plain tensor, or claims to hold
            more than it does.
    """
    import torch

    try:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > size:  # torch packs nothing
                raise UserError(f"{path}: unpacks to {unpacked} bytes; refused")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on pickles it then refuses
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UserError:
        raise
    except Exception as error:  # whatever a file of a stranger brings about
        told = first_line(error)
        raise UserError(f"{path}: holds no tensor, or more than one ({told[:200]})") from None
    if not isinstance(found, torch.Tensor) or found.layout != torch.strided:
        raise UserError(f"{path}: holds a {type(found).__name__}; expected one dense tensor")
    if found.nbytes > size:  # one number, seen as many
        raise UserError(f"{path}: claims {found.nbytes} bytes and has {size}; refused")
    return found
