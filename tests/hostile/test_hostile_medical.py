"""Volumes made to harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hostile_files import (
    assert_refused,
    bomb_png,
    changed,
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

    def test_a_model_that_does_not_hold_together(self):
        from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
        from nearfar_kit.errors import UserError
        from nearfar_medical.network import Network
        from nearfar_medical.seen import Seen
        from nearfar_medical.settings import MedicalSettings
        from nearfar_medical.weights import Model, load_model, save_model

        file = Path("evil.safetensors")
        settings = MedicalSettings(
            widths=(4, 8, 8), local_depth=1, slice_axis=1, size=(16, 16), spacing=(1.0, 1.0)
        )
        network = Network(2, 1, 2, widths=(4, 8, 8), norm=settings.norm)
        save_model(file, Model.of(network, settings, {0: "b", 1: "x"}, 2, Seen()))
        good = load_checkpoint(file)
        load_model(file)
        nan = {name: own * float("nan") for name, own in good["weights"].items()}
        wide = good["settings"] | {"widths": [10**6] * 3}
        harms = [*changed(good, ("seen", "None"), ("channels", "[[1]]")), good | {"weights": nan},
                 good | {"settings": good["settings"] | {"widths": [4] * 10**5}},
                 good | {"settings": wide},
                 good | {"classes": {}, "trained_depth": network.depths + 1},
                 good | {"network": {"channels_in": 10**9, "classes": 2}}]  # fmt: skip
        for state in harms:
            save_checkpoint(file, state)
            with pytest.raises(UserError, match="evil"):
                load_model(file)
        save_checkpoint(file, good | {"settings": wide})
        Path("in").mkdir()
        nifti("in/c.nii", (4, 4, 4), bytes(256))
        assert_refused("medical", "segment", "--model", file, "--data", "in", "--out", "masks")
