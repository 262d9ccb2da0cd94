"""Layouts: how a data set lies on disk, found by its look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nearfar_kit.errors import UserError
from nearfar_medical.cases import DataSet
from nearfar_medical.layouts.bids import is_bids, read_bids
from nearfar_medical.layouts.decathlon import is_decathlon, read_decathlon
from nearfar_medical.layouts.folder import is_folder, read_folder
from nearfar_medical.layouts.nnunet import is_nnunet, read_nnunet

__all__ = ["LAYOUTS", "Layout", "find_layout"]


@dataclass(frozen=True)
class Layout:
    """What shows a layout, and who reads it."""

    looked_for: str
    fits: Callable[[Path], bool]
    reader: Callable[..., DataSet]


# The first that fits is taken: a folder of NIfTI files is the last resort.
LAYOUTS = {
    "nnunet": Layout("imagesTr/CASE_0000.nii.gz", is_nnunet, read_nnunet),
    "decathlon": Layout("dataset.json with a list training", is_decathlon, read_decathlon),
    "bids": Layout("sub-01/anat/sub-01_T1w.nii.gz", is_bids, read_bids),
    "folder": Layout("images/CASE.nii.gz and labels/CASE.nii.gz", is_folder, read_folder),
}


def find_layout(path: Path) -> str:
    """The name of the layout at ``path``.

    Raises:
        UserError: none fits; it tells what was looked for.
    """
    for name, layout in LAYOUTS.items():
        if layout.fits(path):
            return name
    looked_for = "; ".join(f"{name}: {layout.looked_for}" for name, layout in LAYOUTS.items())
    raise UserError(f"{path}: no known layout; looked for {looked_for}")
