"""Volumes made to harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hostile_files import (
    assert_refused,
    bomb_png,
    deep,
    huge_safetensors,
    nifti,
    pickled,
    torch_pickled,
)


class TestMedical:
    def refused(self, data, *more):
        return assert_refused("medical", "train", "--data", data, "--out", "run", *more)

    def test_a_volume_larger_than_its_file(self):
        for n in range(6):
            nifti(f"in/images/c{n}.nii", (30_000, 30_000, 30_000))
            nifti(f"in/labels/c{n}.nii", (30_000, 30_000, 30_000))
        self.refused("in")

    def test_a_volume_that_unpacks_to_gigabytes(self):
        side = 900
        nifti("in/images/c0.nii.gz", (side, side, side), bytes(4 * side * side))
        for n in range(1, 6):
            nifti(f"in/images/c{n}.nii", (4, 4, 4), bytes(256))
        for n in range(6):
            nifti(f"in/labels/c{n}.nii", (4, 4, 4), bytes(256))
        self.refused("in")

    @pytest.mark.parametrize("layout", ["decathlon", "nnunet"])
    def test_json_nested_deeply(self, layout):
        deep("in/dataset.json")
        Path("in/imagesTr").mkdir()
        self.refused("in", "--layout", layout)

    def test_a_list_that_leads_out(self):
        outside = nifti("outside/secret.nii", (4, 4, 4), bytes(256))
        pairs = [{"image": f"../{outside}", "label": f"../{outside}"}] * 6
        Path("in").mkdir()
        Path("in/dataset.json").write_text(json.dumps({"training": pairs}))
        self.refused("in")

    def test_weights(self):
        from nearfar_kit.errors import UserError
        from nearfar_medical.network import Network
        from nearfar_medical.weights import load_weights

        network = Network(2, 1, 2, widths=(8, 8, 8), norm="BATCH")
        for make in (pickled, torch_pickled, huge_safetensors):
            with pytest.raises(UserError):
                load_weights(network, Path(make("evil.pt")))
        assert not Path("owned").exists()

    def separate(self):
        return assert_refused("medical", "separate", "--background", "a", "--target", "b",
                              "--out", "run")  # fmt: skip

    def test_a_picture_bomb(self):
        for folder in "ab":
            for n in range(8):
                bomb_png(f"{folder}/{n}.png")
        self.separate()

    def test_a_picture_that_is_a_pickle(self):
        for folder in "ab":
            for n in range(8):
                pickled(f"{folder}/{n}.png")
        self.separate()
