"""Layouts: how a data set lies on disk, found by its look."""

from __future__ import annotations

from nearfar_kit.layouts import Layout
from nearfar_medical.layouts.bids import is_bids, read_bids
from nearfar_medical.layouts.decathlon import is_decathlon, read_decathlon
from nearfar_medical.layouts.folder import is_folder, read_folder
from nearfar_medical.layouts.nnunet import is_nnunet, read_nnunet

__all__ = ["LAYOUTS"]

# The first that fits is taken: a folder of NIfTI files is the last resort.
LAYOUTS = {
    "nnunet": Layout("imagesTr/CASE_0000.nii.gz", is_nnunet, read_nnunet),
    "decathlon": Layout("dataset.json with a list training", is_decathlon, read_decathlon),
    "bids": Layout("sub-01/anat/sub-01_T1w.nii.gz", is_bids, read_bids),
    "folder": Layout(
        "images/CASE.nii.gz and, to learn from, labels/CASE.nii.gz; or NIfTI files alone",
        is_folder,
        read_folder,
    ),
}
