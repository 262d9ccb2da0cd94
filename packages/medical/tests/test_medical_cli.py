"""The command line end to end, on simulated volumes: train, segment, evaluate, bench."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_medical.cases import find_cases
from nearfar_medical.frames import load_frames
from nearfar_medical.settings import PRESETS, MedicalSettings
from nearfar_medical.simulate import write_simulated
from nearfar_medical.weights import load_model

QUICK = ["--set=slice_axis=1", "--set=size=[40,40]", "--set=widths=[4,8,8,8]",
         "--set=local_depth=1", "--set=global_steps=2", "--set=local_steps=2",
         "--set=tuned_steps=4", "--set=validate_every=2", "--set=volumes=2"]  # fmt: skip


def medical(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nearfar_medical.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    write_simulated(folder, 10)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "r"
    done = medical("train", "--data", data, "--out", out, "--test", 2, "--quiet", *QUICK,
                   "--set=labelled=2")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def test_train_leaves_all_that_a_run_folder_holds(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {"settings.yaml", "metrics.json", "log.jsonl", "checkpoint", "report.html",
                     "scores.csv", "scores.json"}  # fmt: skip
    assert (trained / "checkpoint" / "model.safetensors").exists()
    assert len(list(trained.glob("overlay_*.png"))) == 2
    rows = list(csv.DictReader((trained / "scores.csv").open()))
    assert len(rows) == 2 * 2
    assert {r["structure"] for r in json.loads((trained / "scores.json").read_text())["scores"]}


def test_masks_land_on_the_inputs_voxels(trained, data, tmp_path):
    done = medical("segment", "--model", trained, "--data", data / "images", "--out",
                   tmp_path / "masks", "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for image in sorted((data / "images").iterdir()):
        mask = nib.load(tmp_path / "masks" / f"{image.stem}.nii.gz")
        own = nib.load(image)
        assert mask.shape == own.shape
        assert np.array_equal(mask.affine, own.affine)
        assert mask.get_data_dtype() == np.uint8
    again = medical("segment", "--model", trained, "--data", data / "images", "--out",
                    tmp_path / "masks", "--quiet")  # fmt: skip
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_masks_keep_their_own_codes(tmp_path):
    """FreeSurfer's, of the left and the right hippocampus."""
    data = tmp_path / "data"
    write_simulated(data, 6)
    for file in sorted((data / "labels").iterdir()):
        mask = nib.load(file)
        voxels = np.array([0, 17, 53], np.uint8)[np.asarray(mask.dataobj)]
        nib.save(nib.Nifti1Image(voxels, mask.affine), file)
    quick = [*QUICK, "--set=tuned_steps=40"]
    done = medical("train", "--data", data, "--out", tmp_path / "r", "--test", 1, "--quiet", *quick)
    assert done.returncode == 0, done.stderr
    assert "note: each code of the masks is a class: 0, 17, 53\n" in done.stderr
    rows = list(csv.DictReader((tmp_path / "r" / "scores.csv").open()))
    assert [(r["value"], r["structure"]) for r in rows] == [("17", "class 17"), ("53", "class 53")]
    assert all(int(r["true_voxels"]) > 0 for r in rows)
    assert sum(float(r["dice"]) for r in rows) > 0
    done = medical("segment", "--model", tmp_path / "r", "--data", data / "images", "--out",
                   tmp_path / "masks", "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [np.asarray(nib.load(file).dataobj) for file in (tmp_path / "masks").iterdir()]
    assert {0} < set(np.unique(found).tolist()) <= {0, 17, 53}


def test_masks_of_a_bids_tree_are_a_derivative_of_it(trained, data, tmp_path):
    root = tmp_path / "bids"
    for n, file in enumerate(sorted((data / "images").iterdir())[:3]):
        session = "ses-1/" if n == 2 else ""
        name = f"sub-0{n}/{session}anat/sub-0{n}_{session.replace('/', '_')}T1w.nii"
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(file.read_bytes())
    out = root / "derivatives" / "nearfar"
    done = medical("segment", "--model", trained, "--data", root, "--out", out, "--quiet")
    assert done.returncode == 0, done.stderr
    about = json.loads((out / "dataset_description.json").read_text())
    assert about["DatasetType"] == "derivative"
    assert about["GeneratedBy"][0]["Name"] == "nearfar-medical"
    # Read back as what it is: each image's mask.
    found = find_cases(root)
    assert [case.label for case in found.cases] == [
        out / "sub-00/anat/sub-00_desc-nearfar_dseg.nii.gz",
        out / "sub-01/anat/sub-01_desc-nearfar_dseg.nii.gz",
        out / "sub-02/ses-1/anat/sub-02_ses-1_desc-nearfar_dseg.nii.gz",
    ]
    for case in found.cases:
        mask, image = nib.load(case.label), nib.load(case.images[0])
        assert mask.shape == image.shape
        assert np.array_equal(mask.affine, image.affine)


def test_a_model_becomes_a_monai_bundle(trained, tmp_path):
    done = medical("export", "--model", trained, "--out", tmp_path / "bundle")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bundle" / "configs" / "inference.json").exists()
    again = medical("export", "--model", trained, "--out", tmp_path / "bundle")
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_the_time_is_told_before_it_is_spent(data, tmp_path):
    quick = [*QUICK, "--set=labelled=1", "--set=tuned_batch=4"]
    done = medical("train", "--data", data, "--out", tmp_path / "r", "--test", 2, *quick)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^about \d+ s in all: global contrast \d+ s, local contrast \d+ s, fine-tuning \d+ s$",
        done.stderr, re.M,
    )  # fmt: skip
    assert "no GPU here" not in done.stderr  # the preset would not be faster
    done = medical("pretrain", "--data", data, "--out", tmp_path / "p", *quick)
    assert done.returncode == 0, done.stderr
    assert re.search(r"in all: global contrast \d+ s, local contrast \d+ s\n", done.stderr)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
@pytest.mark.parametrize("preset", [None, "gpu", "cpu"])
def test_the_preset_for_machines_without_a_gpu_is_told_of(preset):
    from nearfar_medical import cli

    filled = MedicalSettings(slice_axis=2, size=(40, 40), spacing=(1, 1))
    small = cli._small(preset, None, ["tuned_batch=4"], filled)
    if preset is not None:
        assert small is None
        return
    assert (small.size, small.slice_axis, small.spacing) == ((40, 40), 2, (1, 1))
    assert (small.widths, small.tuned_batch) == (PRESETS["cpu"]["widths"], 4)
    # Where the preset does not go with what else was asked for, nothing is promised.
    assert cli._small(None, None, ["local_depth=3"], filled) is None


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(7000.0, "note: no GPU here; --preset cpu takes about 5 min\n"), (400.0, None)],
)
def test_what_takes_less_is_told(seconds, told, monkeypatch, capsys):
    from nearfar_medical import cli

    times = iter([{"fine-tuning": seconds}, {"fine-tuning": 300.0}])
    monkeypatch.setattr("nearfar_medical.train.estimate", lambda *a, **k: next(times))
    fabric = SimpleNamespace(is_global_zero=True, device=torch.device("cpu"))
    network = SimpleNamespace(channels_in=1, classes=2)
    cli._tell_time(network, None, None, MedicalSettings(widths=(4, 8, 8), local_depth=1), fabric)
    assert capsys.readouterr().err.endswith(told or "fine-tuning 7 min\n")


@pytest.mark.parametrize("verb", ["train", "separate"])
def test_two_processes(verb, data, tmp_path):
    """Contrast over both, all else on the first, and one of each file."""
    if verb == "train":
        call = ["--data", data, "--test", 2, "--set=labelled=1", *QUICK]
    else:
        call = ["--background", data / "images", "--target", data / "labels", "--preset", "cpu",
                "--set=image_size=[8,8,8]", "--set=widths=[4,4,4,4]", "--set=steps=2",
                "--set=batch=4"]  # fmt: skip
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node=2", "-m", "nearfar_medical.cli", verb, "--device", "cpu",
               "--out", tmp_path / "r", *call]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: ") == 1
    assert done.stderr.count("in all: ") == (verb == "train")
    assert (tmp_path / "r" / "checkpoint" / "model.safetensors").exists()
    begun = [line for line in (tmp_path / "r" / "log.jsonl").read_text().splitlines()
             if '"begin"' in line]  # fmt: skip
    assert len(begun) == 1


def test_a_resumed_run_wants_the_volumes_it_began_with(trained, data):
    done = medical("train", "--data", data, "--out", trained, "--test", 3, "--quiet", *QUICK,
                   "--set=labelled=2", "--resume")  # fmt: skip
    assert done.returncode == 2
    assert re.search(r"--resume: \d of 10 volumes are not as .*, first simulated_\d+ \(was to "
                     r".*, is to .*\); expected the same data, --subjects, --test and --seed",
                     done.stderr)  # fmt: skip


def test_the_page_tells_volumes_and_structures(trained):
    page = (trained / "report.html").read_text()
    told = (
        r"Learned from 2 labelled volumes \(simulated_\d+, simulated_\d+\); 2 more chose the "
        r"weights \(simulated_\d+, simulated_\d+\), and 6 were looked"
    )
    (sentence,) = re.findall(told, page)
    assert len(set(re.findall(r"simulated_\d+", sentence))) == 4
    assert "<th>n</th>" in page
    captions = re.findall(r"<figcaption>(\S+): image, truth.* Dice: class 1 [\d.]+, class 2", page)
    assert len(set(captions)) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_what_cannot_be_is_told_before_masks_are_read(trained, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / "d" / kind).mkdir(parents=True)
        for n in range(5):
            (tmp_path / "d" / kind / f"{n}.nii").write_bytes(b"no volume")
    call = ["train", "--data", tmp_path / "d", "--out", trained, "--test", 1]
    assert "no CUDA device" in medical(*call, "--device", "cuda").stderr
    given = ["--set=slice_axis=1", "--set=size=[40,40]", "--set=spacing=[1,1]"]
    assert "holds a run; expected a new folder" in medical(*call, *given).stderr
    call = ["evaluate", "--model", trained, "--data", tmp_path / "d", "--out", tmp_path / "e"]
    assert "no CUDA device" in medical(*call, "--device", "cuda").stderr


def test_the_next_command_is_the_readmes(tmp_path):
    done = medical("simulate", "--out", tmp_path / "s")
    assert "--preset cpu --set global_steps=200" in done.stdout


def test_evaluate(trained, data, tmp_path):
    done = medical("evaluate", "--model", trained, "--data", data, "--out", tmp_path / "e",
                   "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list(csv.DictReader((tmp_path / "e" / "scores.csv").open()))) == 20


def test_volumes_that_were_trained_on_are_not_taken_for_new_ones(trained, data, tmp_path):
    """Of 10 volumes, 2 were held out; the model alone tells which."""
    model = tmp_path / "elsewhere.safetensors"
    model.write_bytes((trained / "checkpoint" / "model.safetensors").read_bytes())
    done = medical("evaluate", "--model", model, "--data", data, "--out", tmp_path / "e", "--quiet")
    assert done.returncode == 0, done.stderr
    told = ("8 of these 10 volumes were trained on (2 with labels, 2 to choose the weights, "
            "4 in pre-training, without labels)")  # fmt: skip
    assert done.stderr == f"note: {told}\n"
    assert "10 volumes, 8 of them trained on: mean" in done.stdout
    page = (tmp_path / "e" / "report.html").read_text()
    assert told in page
    assert "never seen" not in page
    assert "held out" not in page
    # Those that train itself tested on are new, and so are others' names, as far as names tell.
    assert "2 volumes of subjects held out: mean" in (trained / "report.html").read_text()
    assert "<h1>Segmentation of volumes never seen</h1>" in (trained / "report.html").read_text()
    for kind in ("images", "labels"):
        (tmp_path / "new" / kind).mkdir(parents=True)
        (tmp_path / "new" / kind / "zoe.nii").write_bytes(
            (data / kind / "simulated_000.nii").read_bytes()
        )
    done = medical("evaluate", "--model", model, "--data", tmp_path / "new", "--out",
                   tmp_path / "n", "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    page = (tmp_path / "n" / "report.html").read_text()
    assert "None of these 1 volumes was trained on, as far as names tell." in page
    # Names of cases and of subjects: here all are of one who was trained on.
    (tmp_path / "subjects.csv").write_text("case,subject\nzoe,simulated_000\n")
    done = medical("evaluate", "--model", model, "--data", tmp_path / "new", "--subjects",
                   tmp_path / "subjects.csv", "--out", tmp_path / "s", "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "note: 1 of these 1 volumes were trained on" in done.stderr


def test_an_older_model_does_not_tell_what_it_was_trained_on(trained, data, tmp_path):
    model = tmp_path / "old.safetensors"
    kept = load_checkpoint(trained / "checkpoint" / "model.safetensors")
    del kept["seen"]
    save_checkpoint(model, kept)
    done = medical("evaluate", "--model", model, "--data", data, "--out", tmp_path / "e", "--quiet")
    assert done.returncode == 0, done.stderr
    told = "t is not known which of these 10 volumes were trained on"
    assert done.stderr == f"note: i{told}\n"
    page = (tmp_path / "e" / "report.html").read_text()
    assert f"I{told}." in page
    assert "never seen" not in page


def test_pretrained_weights_are_trains_to_begin_with(data, tmp_path):
    done = medical(
        "pretrain", "--data", data / "images", "--out", tmp_path / "p", "--quiet", *QUICK
    )
    assert done.returncode == 0, done.stderr
    refused = medical("segment", "--model", tmp_path / "p", "--data", data / "images", "--out",
                      tmp_path / "m")  # fmt: skip
    assert refused.returncode == 2
    assert "is pre-trained alone" in refused.stderr
    done = medical("train", "--data", data, "--out", tmp_path / "t", "--weights", tmp_path / "p",
                   "--test", 2, "--quiet", *QUICK)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "weights taken; 2 of another shape there, which begin anew: unet.model." in done.stderr
    assert "warning" not in done.stderr
    # The weights have seen all images, those that are tested on, too.
    told = "2 of these 2 volumes were trained on (2 in pre-training, without labels)"
    assert f"note: {told}\n" in done.stderr
    page = (tmp_path / "t" / "report.html").read_text()
    assert told in page
    assert "2 volumes of subjects held out, 2 of them seen in pre-training: mean" in page
    assert "never seen" not in page
    seen = load_model(tmp_path / "t" / "checkpoint" / "model.safetensors").seen
    assert [len(part) for part in (seen.labelled, seen.validation, seen.images)] == [6, 2, 10]


def test_weights_of_other_widths_are_warned_of(trained, data, tmp_path):
    done = medical("train", "--data", data, "--out", tmp_path / "t", "--weights", trained,
                   "--test", 2, "--quiet", *QUICK, "--set=widths=[4,6,6,6]")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (
        "fewer than half of the network's weights fit; expected a file of the same" in done.stderr
    )


def test_a_training_that_is_not_tested_leaves_its_page_too(data, tmp_path):
    done = medical("train", "--data", data, "--out", tmp_path / "t", "--test", 0, "--quiet", *QUICK,
                   "--set=labelled=2")  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "t" / "report.html").read_text()
    assert "Nothing was tested. Mean Dice on the volumes that chose the weights is" in page
    assert "Learned from 2 labelled volumes" in page
    assert json.loads((tmp_path / "t" / "metrics.json").read_text())["records"] == []


def test_the_bench_writes_its_table(data, tmp_path):
    done = medical(
        "bench", "--data", data, "--out", tmp_path / "b", "--profile", "smoke", "--methods",
        "baseline;G^D + L^R;all labels", "--processes", 1, "--quiet", *QUICK,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "b" / "table.md").read_text()
    assert "| G^D + L^R | " in table
    assert "gain in mean Dice" in table
    records = json.loads((tmp_path / "b" / "metrics.json").read_text())["records"]
    assert {r["method"] for r in records} == {"baseline", "G^D + L^R", "all labels"}


def test_the_bench_takes_each_data_set_of_a_folder(data, tmp_path):
    write_simulated(tmp_path / "sets" / "other.1", 9)
    (tmp_path / "sets" / "first").symlink_to(data)
    shutil.copytree(data / "images", tmp_path / "sets" / "unlabelled")
    done = medical(
        "bench", "--data", tmp_path / "sets", "--out", tmp_path / "b", "--profile", "smoke",
        "--methods", "baseline", "--processes", 1, "--quiet", *QUICK,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"left out: {tmp_path / 'sets' / 'unlabelled'}: no volume has a mask" in done.stderr
    records = json.loads((tmp_path / "b" / "metrics.json").read_text())["records"]
    assert {r["dataset"] for r in records} == {"first", "other.1"}
    prepared = (tmp_path / "b" / "checkpoint").glob("*/frames.safetensors")
    counts = {file.parent.name: len(load_frames(file)) for file in prepared}
    assert counts == {"first": 10, "other.1": 9}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "nowhere"], "nowhere: no such file or folder"),
        (["bench", "--data", ".", "--profile", "big"], "expected one of smoke, cpu, gpu"),
        (
            ["bench", "--data", ".", "--methods", "magic"],
            "--methods magic: expected some of baseline; ",
        ),
        (["segment", "--model", "nowhere", "--data", ".", "--out", "x"], "nowhere"),
        (["train", "--data", ".", "--set", "size=[30,30]"], "multiples of 8"),
        (["train", "--data", ".", "--preset", "tiny"], "preset tiny: expected one of gpu, cpu"),
        (["export", "--model", "nowhere", "--out", "x"], "nowhere"),
    ],
)
def test_mistakes_in_the_call(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = medical(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(Path().iterdir())
