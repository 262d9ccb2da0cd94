"""Recordings made to harm."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hostile_files import (
    Evil,
    assert_refused,
    changed,
    npy_header,
    npz,
    status_alone,
    status_of,
)


class TestHar:
    def refused(self, data, by=status_of):
        return assert_refused("har", "train", "--data", data, "--out", "run", by=by)

    def test_a_pickled_array(self):
        np.savez("evil.npz", imu=np.array([Evil()], dtype=object))
        self.refused("evil.npz")
        np.savez("windows.npz", format="nearfar", signals=np.array([Evil()], dtype=object))
        self.refused("windows.npz")
        np.savez("phone.npz", label_names=np.array([Evil()], dtype=object))
        self.refused("phone.npz")

    @pytest.mark.parametrize("name", ["imu", "label_names"])
    def test_an_array_larger_than_its_file(self, name):
        self.refused(npz("evil.npz", name, npy_header((2**40, 19, 100, 5, 6))))

    @pytest.mark.parametrize("name", ["imu", "label_names"])
    def test_an_array_that_unpacks_to_gigabytes(self, name):
        with (
            zipfile.ZipFile("evil.npz", "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(f"{name}.npy", "w", force_zip64=True) as file,
        ):
            file.write(npy_header((8, 19, 160_000, 5, 6)))
            for _ in range(8 * 19):
                file.write(bytes(160_000 * 5 * 6 * 2))
        self.refused("evil.npz")

    @pytest.mark.parametrize("inside", ["../../acc_walking_chest.csv", "/acc_walking_chest.csv",
                                        "C:\\acc_walking_chest.csv"])  # fmt: skip
    def test_a_zip_that_leads_out(self, inside):
        Path("real/proband1/data").mkdir(parents=True)
        with zipfile.ZipFile("real/proband1/data/acc_walking_csv.zip", "w") as archive:
            archive.writestr(inside, "attr_time,attr_x,attr_y,attr_z\n1,2,3,4\n")
        assert "leaves the archive" in self.refused("real")

    def test_a_zip_bomb(self):
        Path("real/proband1/data").mkdir(parents=True)
        with (
            zipfile.ZipFile(
                "real/proband1/data/acc_walking_csv.zip", "w", zipfile.ZIP_DEFLATED
            ) as archive,
            archive.open("acc_walking_chest.csv", "w", force_zip64=True) as file,
        ):
            for _ in range(20):
                file.write(bytes(2**24))
        self.refused("real")

    def test_a_link_that_goes_round(self):
        Path("real").mkdir()
        Path("real/proband1").symlink_to("../real", target_is_directory=True)
        self.refused("real")
        Path("round.csv").symlink_to("round.csv")
        self.refused("round.csv")

    def test_names_that_a_terminal_would_obey(self):
        Path("evil.csv").write_text("\x1b[2Jtime,device\n0,a\n")
        assert "\x1b" not in self.refused("evil.csv", by=status_alone)

    def test_text_without_end_in_a_table(self):
        Path("zeros.csv").write_bytes(bytes(2**16))
        self.refused("zeros.csv", by=status_alone)

    def test_formulas_are_no_formulas_in_labels(self):
        import polars as pl

        from nearfar_har.classify import write_labels

        frame = pl.DataFrame({"subject": ["=cmd|' /C calc'!A0", "-1.5", "@x"], "end": [1, 2, 3]})
        write_labels(frame, Path("labels.csv"))
        lines = Path("labels.csv").read_text().splitlines()
        assert lines[1:] == ["'=cmd|' /C calc'!A0,1", "-1.5,2", "'@x,3"]
        write_labels(frame, Path("labels.parquet"))
        assert pl.read_parquet("labels.parquet").equals(frame)


def test_a_model_that_does_not_hold_together():
    from nearfar_har.encoder import make_encoder
    from nearfar_har.finetune import Classifier, tuned_head
    from nearfar_har.model import HarModel
    from nearfar_har.scale import Scale
    from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
    from nearfar_kit.errors import UserError

    encoder = make_encoder("residual", 100)
    classifier = Classifier(encoder, tuned_head(encoder.features, 2))
    HarModel("residual", "tuned", encoder, Scale(1.0, 2.0), 50.0, 100, 0.0, ("a", "b"),
             {"wrist": classifier}, frozenset({"s"})).save("evil")  # fmt: skip
    good = load_checkpoint("evil")
    HarModel.load("evil")
    nan = {name: own * float("nan") for name, own in good["encoder"].items()}
    harms = [*changed(good, ("samples", "5"), ("subjects", "[]")),
             good | {"encoder": nan}, good | {"activities": ["a"] * 10**6},
             good | {"scale": {"acceleration": 0.0, "rate": 1.0}}, good | {"rate": -1.0},
             good | {"classifiers": {"wrist": {}}}]  # fmt: skip
    for state in harms:
        save_checkpoint("evil", state)
        with pytest.raises(UserError, match=r"^evil: "):
            HarModel.load("evil")
