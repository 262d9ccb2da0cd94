"""A model exported as a MONAI bundle segments as the model does, with MONAI alone."""

from __future__ import annotations

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

from nearfar_kit.errors import UserError
from nearfar_medical.cases import Case
from nearfar_medical.finetune import Finetuning
from nearfar_medical.frames import Frame
from nearfar_medical.monai_bundle import export_bundle
from nearfar_medical.network import Network
from nearfar_medical.predict import predict_case
from nearfar_medical.prepare import Preparation
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.simulate import simulate_volume
from nearfar_medical.volume import Volume, write_mask
from nearfar_medical.weights import Model

CLASSES = {0: "background", 1: "front", 2: "back"}


def model_of(dims, axis, classes=CLASSES):
    settings = MedicalSettings(
        dims=dims, slice_axis=axis, spacing=(1.0, 1.0), size=(16, 24), depth=8, widths=(4, 8, 8),
        local_depth=1, norm="INSTANCE",
    )  # fmt: skip
    torch.manual_seed(0)
    network = Network(dims, 1, 3, widths=settings.widths, norm=settings.norm).eval()
    with torch.no_grad():  # so that all classes are found
        for parameter in network.parameters():
            parameter.mul_(3)
    return Model(network, settings, classes, ("T1",), 3)


def run_bundle(folder, data):
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file",
               "configs/inference.json", "--dataset_dir", str(data)]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def put(write_nifti, tmp_path, affine, shape=(14, 30, 17)):
    """A smooth volume, so that a fraction of a voxel changes little."""
    at = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    voxels = np.sin(at[0] * 2) * np.cos(at[1] * 3) + np.sin(at[2] + at[0])
    return write_nifti(tmp_path / "data" / "v.nii.gz", voxels.astype(np.float32), affine)


@pytest.mark.parametrize(
    ("dims", "axis", "affine"),
    [
        (2, 0, np.eye(4)),
        (2, 1, np.diag([-1.0, -1.0, 1.0, 1.0])),  # LPS
        (2, 2, np.array([[0, 0, -1.0, 3], [1.0, 0, 0, 0], [0, 1.0, 0, 5], [0, 0, 0, 1]])),
        (3, 1, np.diag([-1.0, 1.0, 1.0, 1.0])),
    ],
)
def test_the_same_masks(dims, axis, affine, write_nifti, tmp_path):
    path = put(write_nifti, tmp_path, affine)
    model = model_of(dims, axis)
    mask, _, grid = predict_case(model, Case("v", "v", (path,)))
    assert len(np.unique(mask)) == 3
    write_mask(tmp_path / "ours.nii.gz", mask, grid)
    export_bundle(model, tmp_path / "bundle")
    done = run_bundle(tmp_path / "bundle", path.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    ours = nib.load(tmp_path / "ours.nii.gz")
    theirs = nib.load(tmp_path / "bundle" / "eval" / "v_mask.nii.gz")
    np.testing.assert_allclose(theirs.affine, ours.affine, atol=1e-5)
    # Percentiles and sums are rounded elsewhere: a voxel or two may stand on the fence.
    assert (np.asarray(ours.dataobj) == np.asarray(theirs.dataobj)).mean() > 0.999


@pytest.mark.parametrize(("codes", "kind"), [((0, 17, 53), np.uint8), ((0, 17, 1053), np.uint16)])
def test_masks_of_a_data_sets_own_codes(codes, kind, write_nifti, tmp_path):
    path = put(write_nifti, tmp_path, np.eye(4))
    model = model_of(2, 1, dict(zip(codes, CLASSES.values(), strict=True)))
    mask, _, grid = predict_case(model, Case("v", "v", (path,)))
    assert tuple(np.unique(mask)) == codes
    write_mask(tmp_path / "ours.nii.gz", mask, grid)
    export_bundle(model, tmp_path / "bundle")
    done = run_bundle(tmp_path / "bundle", path.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = nib.load(tmp_path / "bundle" / "eval" / "v_mask.nii.gz")
    assert theirs.get_data_dtype() == nib.load(tmp_path / "ours.nii.gz").get_data_dtype() == kind
    assert (mask == np.asarray(theirs.dataobj)).mean() > 0.999
    about = (tmp_path / "bundle" / "docs" / "README.md").read_text()
    assert f"17 front, {codes[2]} back" in about


def test_another_spacing_is_resampled(write_nifti, tmp_path):
    """Grids differ by half a voxel then, so that a network must have learned what it looks at."""
    settings = MedicalSettings(
        slice_axis=1, spacing=(1.0, 1.0), size=(32, 32), widths=(8, 16, 16), local_depth=1,
        tuned_steps=120, validate_every=20, deform=False, tuned_learning_rate=3e-3,
    )  # fmt: skip
    image, mask = simulate_volume(0)
    made = Volume(image[None], np.eye(4), (1.0, 1.0, 1.0))
    prepared, placed, _ = Preparation.of(settings).apply(made, (mask > 0).astype(np.uint8))
    frame = Frame("v", "v", prepared, placed)
    torch.manual_seed(0)
    network = Network(2, 1, 2, widths=settings.widths)
    tuning = Finetuning(network, [frame], [frame], settings, seed=0)
    tuning.run()
    assert tuning.best > 0.4
    model = Model(network.eval(), settings, {0: "background", 1: "rod"}, ("T1",), 3)
    path = write_nifti(tmp_path / "data" / "v.nii", image, np.diag([0.8, 1.0, 1.3, 1.0]))
    mask, _, _ = predict_case(model, Case("v", "v", (path,)))
    export_bundle(model, tmp_path / "bundle")
    done = run_bundle(tmp_path / "bundle", path.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = np.asarray(nib.load(tmp_path / "bundle" / "eval" / "v_mask.nii.gz").dataobj)
    assert theirs.shape == mask.shape
    assert 2 * (mask * theirs).sum() / (mask.sum() + theirs.sum()) > 0.9


def test_what_a_bundle_holds(tmp_path):
    export_bundle(model_of(2, 1), tmp_path / "bundle")
    about = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    assert about["network_data_format"]["outputs"]["pred"]["channel_def"]["1"] == "front"
    state = torch.load(tmp_path / "bundle" / "models" / "model.pt", weights_only=True)
    plain = model_of(2, 1).network.unet.state_dict()
    assert state.keys() == plain.keys()
    with pytest.raises(UserError, match="is there already; expected a new folder"):
        export_bundle(model_of(2, 1), tmp_path / "bundle")


def test_nothing_is_left_where_it_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        export_bundle(model_of(2, 1), tmp_path / "file" / "bundle")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
