"""Small NIfTI files made as a test asks, and the real ones beside the repository."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "medical"


def nifti(path, voxels, affine=None, *, sform=1, qform=1, units="mm", kind=nib.Nifti1Image):
    """Writes ``voxels`` on the grid of ``affine``, and gives the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4) if affine is None else affine
    image = kind(voxels, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    image.header.set_xyzt_units(units)
    nib.save(image, path)
    return path


@pytest.fixture(scope="session")
def write_nifti():
    return nifti


@pytest.fixture
def blank():
    """[6, 5, 4] of float32 noise."""
    return np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def real():
    """A folder of the real data sets; the test is skipped where it is not there."""

    def found(name):
        path = DATA / name
        if not path.exists():
            pytest.skip(f"{name} is not in ../shared/data/medical beside the repository")
        return path

    return found
