"""What the settings leave open of a data set's geometry, by the headers of its volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nearfar_medical.cases import Case
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.volume import Grid, read_grid

__all__ = ["filled"]

# Voxels so much longer along one axis than along the next are slices.
THICK = 1.25
# The paper's size of a slice; a larger volume is cut at its centre unless the settings say more.
LARGEST = 192


def filled(settings: MedicalSettings, cases: Sequence[Case]) -> MedicalSettings:
    """The settings with slice axis, spacing and size that fit the cases, where they have none.

    The slice axis is that of the thickest voxels; of voxels that are about as long on all sides,
    that along which the volumes are longest. Spacing is the median within slices, and a slice is as
    large as the largest of the volumes, up to 192 voxels a side, in multiples of what the network
    halves it by.

    Raises:
        UserError: a file is no NIfTI file.
    """
    if None not in (settings.slice_axis, settings.spacing, settings.size):
        return settings
    grids = [read_grid(case.images[0]) for case in cases]
    axis = _slice_axis(grids) if settings.slice_axis is None else settings.slice_axis
    within = [number for number in range(3) if number != axis]
    mm = np.array([grid.spacing for grid in grids])[:, within]  # cases x 2
    spacing = settings.spacing or (float(np.median(mm[:, 0])), float(np.median(mm[:, 1])))
    voxels = np.array([grid.ras_shape for grid in grids])[:, within]
    most = np.round(voxels * mm / spacing).max(0)
    halved = settings.halvings
    rows, columns = (
        min(-(-max(int(side), 1) // halved) * halved, LARGEST // halved * halved) for side in most
    )
    fitted = {"slice_axis": axis, "spacing": spacing, "size": settings.size or (rows, columns)}
    return MedicalSettings(**settings.model_dump() | fitted)


def _slice_axis(grids: Sequence[Grid]) -> int:
    mm = np.median([grid.spacing for grid in grids], axis=0)
    middle, longest = np.sort(mm)[1:]
    if longest > THICK * middle:
        return int(mm.argmax())
    extent = np.median([np.multiply(grid.ras_shape, grid.spacing) for grid in grids], axis=0)
    return 2 - int(extent[::-1].argmax())  # of equal ones the last
