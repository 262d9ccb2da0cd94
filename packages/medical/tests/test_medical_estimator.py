"""The estimator face does what the command line does."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from sklearn.base import clone

from nearfar_kit.errors import UserError
from nearfar_medical import VolumeSegmenter, find_cases, save_model
from nearfar_medical.predict import segment_cases
from nearfar_medical.simulate import write_simulated
from nearfar_medical.weights import load_model

FEW = {"global_steps": 2, "local_steps": 2, "tuned_steps": 4, "validate_every": 2, "volumes": 2,
       "widths": [4, 8, 8, 8], "labelled": 1}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    write_simulated(folder, 6)
    return folder


@pytest.fixture(scope="module")
def fitted(data):
    return VolumeSegmenter("cpu", **FEW).fit(data)


def test_masks_are_those_of_the_command_line(fitted, data, tmp_path):
    masks = fitted.predict(data / "images")
    save_model(tmp_path / "m.safetensors", fitted.model_)
    model = load_model(tmp_path / "m.safetensors")
    segment_cases(model, find_cases(data / "images"), tmp_path / "masks")
    assert len(masks) == 6
    for name, mask in masks.items():
        file = np.asarray(nib.load(tmp_path / "masks" / f"{name}.nii.gz").dataobj)
        np.testing.assert_array_equal(mask, file)


def test_the_same_seed_learns_the_same(fitted, data):
    again = clone(fitted).fit(find_cases(data))
    assert again.score(data) == fitted.score(data)
    other = clone(fitted).set_params(random_state=1)
    assert other.get_params()["random_state"] == 1
    assert (other.settings.labelled, other.preset) == (1, "cpu")
    assert list(fitted.classes_) == ["background", "class 1", "class 2"]


def test_mistakes(data, fitted):
    with pytest.raises(UserError, match="preset tiny: expected one of gpu, cpu"):
        VolumeSegmenter("tiny")
    with pytest.raises(UserError, match="unknown setting magic"):
        VolumeSegmenter(magic=1)
    with pytest.raises(UserError, match="no volume has a mask"):
        fitted.score(data / "images")
