"""``separate`` on folders and CSV lists of images, and splits of two populations by subject."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar_kit.errors import UserError
from nearfar_medical.sepclr.pairs import Pairs, pairs_from_csv, pairs_from_folders
from nearfar_medical.sepclr.probes import represent
from nearfar_medical.sepclr.separate import load_encoders, read_pairs

QUICK = ["--preset", "cpu", "--set=steps=2", "--set=batch=8", "--set=widths=[4,4,4,4]",
         "--set=common_dims=4", "--set=salient_dims=3", "--quiet"]  # fmt: skip


def separate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nearfar_medical.cli", "separate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def pictures(folder, count, seed, name="p{:02d}.png"):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    files = []
    for n in range(count):
        files.append(folder / name.format(n))
        Image.fromarray(rng.integers(0, 255, (12, 12), dtype=np.uint8)).save(files[-1])
    return files


@pytest.fixture
def folders(tmp_path):
    pictures(tmp_path / "healthy", 12, 0)
    pictures(tmp_path / "ill", 12, 1)
    return tmp_path


@pytest.fixture
def lists(folders):
    for kind in ("healthy", "ill"):
        with (folders / f"{kind}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "subject", "site", *(["size"] if kind == "ill" else [])])
            for n, path in enumerate(sorted((folders / kind).iterdir())):
                row = [f"{kind}/{path.name}", f"{kind}{n // 2}", "AB"[n % 2]]
                writer.writerow([*row, n / 10] if kind == "ill" else row)
    return folders


class TestSplit:
    def test_subjects_are_kept_whole(self, lists):
        pairs = pairs_from_csv(lists / "healthy.csv", lists / "ill.csv", classes=["site"])
        train, test = pairs.split(0.25, seed=0)
        assert not {*train.subjects} & {*test.subjects}
        assert sorted((*train.sources, *test.sources)) == sorted(pairs.sources)
        assert 2 <= int(test.is_target.sum()) <= 4
        assert 2 <= int((~test.is_target).sum()) <= 4
        for part in (train, test):
            for n, source in enumerate(part.sources):
                at = pairs.sources.index(source)
                assert torch.equal(part.images[n], pairs.images[at])
                assert part.is_target[n] == pairs.is_target[at]
                assert part.attributes["site"][n] == pairs.attributes["site"][at]
        assert pairs.split(0.25, seed=0)[1].sources == test.sources
        assert pairs.split(0.25, seed=1)[1].sources != test.sources

    def test_a_subject_of_both_populations_is_on_one_side(self):
        kinds = torch.tensor([False, True] * 4)
        whose = tuple("aabbccdd")
        pairs = Pairs(torch.rand(8, 1, 4, 4), kinds, subjects=whose)
        for seed in range(10):
            train, test = pairs.split(0.25, seed)
            assert len(test) == 2
            assert not {*train.subjects} & {*test.subjects}

    def test_names_of_files_tell_subjects(self, tmp_path):
        pictures(tmp_path / "a", 2, 0, "sub-1_run-{}.png")
        pictures(tmp_path / "b", 2, 0, "patient7_visit_{}.png")
        assert pairs_from_folders(tmp_path / "a", tmp_path / "b").subjects == (
            "sub-1", "sub-1", "patient7", "patient7",
        )  # fmt: skip

    def test_too_few(self):
        pairs = Pairs(torch.rand(2, 1, 4, 4), torch.tensor([False, True]))
        with pytest.raises(UserError, match=r"2 subjects: too few to test on 0\.25 of them"):
            pairs.split(0.25, 0)


def test_two_folders(folders):
    out = folders / "run"
    done = separate("--background", folders / "healthy", "--target", folders / "ill", "--out", out,
                    *QUICK)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "is_target" in done.stdout
    assert {p.name for p in out.iterdir()} >= {
        "settings.yaml", "metrics.json", "log.jsonl", "report.html", "images.csv", "common.npy",
        "salient.npy", "common.png", "salient.png",
    }  # fmt: skip
    rows = list(csv.DictReader((out / "images.csv").open()))
    assert len(rows) == 24
    assert [r["part"] for r in rows].count("test") == 6
    assert {r["population"] for r in rows if "ill" in r["image"]} == {"target"}
    # The file of weights gives the very embeddings again.
    encoders, settings = load_encoders(out / "checkpoint" / "model.safetensors")
    assert (settings.channels, settings.dims) == (1, 2)
    pairs = pairs_from_folders(folders / "healthy", folders / "ill")
    again = represent(encoders, pairs)
    order = [pairs.sources.index(r["image"]) for r in rows]
    for space, width in (("common", 4), ("salient", 3)):
        kept = np.load(out / f"{space}.npy")
        assert kept.shape == (24, width)
        np.testing.assert_allclose(kept, again[space][order], rtol=1e-4, atol=1e-5)


def test_lists_with_attributes(lists):
    out = lists / "run"
    done = separate(
        "--background", lists / "healthy.csv", "--target", lists / "ill.csv", "--out", out,
        "--salient", "size", "--measure", "size", "--common", "site", *QUICK,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = json.loads((out / "metrics.json").read_text())["records"]
    assert {(r["split"], r["metric"]) for r in records} == {
        (f"space={space},attribute={name}", metric)
        for space in ("common", "salient")
        for name, metric in (
            ("is_target", "balanced_accuracy"), ("size", "mae"), ("site", "balanced_accuracy"),
        )
    }  # fmt: skip
    assert {"site", "size"} <= set(csv.DictReader((out / "images.csv").open()).fieldnames)


def test_volumes(tmp_path, write_nifti):
    rng = np.random.default_rng(0)
    for kind in ("a", "b"):
        for n in range(6):
            # Sizes differ: they are brought to one.
            write_nifti(tmp_path / kind / f"v{n}.nii.gz",
                        rng.normal(size=(8 + n, 9, 10)).astype(np.float32))  # fmt: skip
    out = tmp_path / "run"
    done = separate("--background", tmp_path / "a", "--target", tmp_path / "b", "--out", out,
                    "--set=image_size=[8,8,8]", *QUICK)  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, settings = load_encoders(out / "checkpoint" / "model.safetensors")
    assert (settings.dims, settings.channels, settings.flips) == (3, 1, ())


def test_a_stopped_run_goes_on_to_the_same_numbers(folders):
    """A run of 2 steps, whose checkpoint a run of 4 then begins with, ends as one of 4."""
    call = ["--background", folders / "healthy", "--target", folders / "ill"]
    # At a constant rate: that of a cosine depends on the number of all steps.
    quick = [*(a for a in QUICK if "steps" not in a), "--set=schedule=constant"]
    assert separate(*call, "--out", folders / "whole", *quick, "--set=steps=4").returncode == 0
    assert separate(*call, "--out", folders / "part", *quick, "--set=steps=2").returncode == 0
    settings = folders / "part" / "settings.yaml"
    settings.write_text(settings.read_text().replace("steps: 2", "steps: 4"))
    done = separate(*call, "--out", folders / "part", *quick, "--set=steps=4", "--resume")
    assert done.returncode == 0, done.stderr
    for space in ("common", "salient"):
        whole, part = (np.load(folders / run / f"{space}.npy") for run in ("whole", "part"))
        np.testing.assert_array_equal(whole, part)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "ill.csv"], "expected two folders or two CSV lists"),
        (["--target", "nothing"], "nothing: no such folder"),
        (["--target", "ill", "--salient", "size"], "is a folder; expected a CSV list with column"),
        (["--target", "ill", "--measure", "size"], "--measure size: expected one of --salient"),
        (["--target", "ill", "--preset", "big"], "preset big: expected one of gpu, cpu"),
        (["--target", "ill", "--test", "1.5"], "--test 1.5: expected a share between 0 and 1"),
        (["--target", "ill", "--set", "view_size=[8]"], "expected 2 numbers"),
    ],
)
def test_mistakes_in_the_call(arguments, message, lists, monkeypatch):
    monkeypatch.chdir(lists)
    done = separate("--background", "healthy", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (lists / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--common", "site"], "attribute site: targets are all A; expected two classes"),
        (["--salient=size", "--measure=size", "--set=objective=attributes"],
         "1 attributes for 3 salient_dims; expected one each"),
    ],
)  # fmt: skip
def test_attributes_are_looked_at_before_the_training(arguments, message, lists):
    table = lists / "ill.csv"
    table.write_text(table.read_text().replace("B", "A"))
    done = separate("--background", lists / "healthy.csv", "--target", table,
                    "--out", lists / "run", *arguments, *QUICK)  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (lists / "run").exists()


def test_a_file_that_holds_no_encoders(tmp_path, folders):
    from nearfar_kit.checkpoint import save_checkpoint

    kind = "nearfar-medical encoders 1"
    for content, told in (
        ({}, "is no model; expected 'nearfar-medical encoders 1'"),
        ({"format": kind}, "is a damaged nearfar-medical encoders 1"),
        ({"format": kind, "settings": {"widths": 3}, "weights": {}}, "widths is 3"),
    ):
        save_checkpoint(tmp_path / "m.safetensors", content)
        with pytest.raises(UserError, match=told):
            load_encoders(tmp_path / "m.safetensors")
    (tmp_path / "m.safetensors").write_bytes(b"not a model")
    with pytest.raises(UserError, match="damaged"):
        load_encoders(tmp_path / "m.safetensors")


def test_settings_fit_the_images(folders):
    pairs, settings = read_pairs(
        folders / "healthy", folders / "ill", preset="gpu", config=None, overrides=[]
    )
    assert (settings.dims, settings.channels, settings.flips) == (2, 1, (-1,))
    assert len(pairs) == 24
