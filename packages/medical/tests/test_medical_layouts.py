"""Layouts: each in its true shape, made small; faults in descriptions, one line each."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nearfar_kit.errors import UserError
from nearfar_kit.layouts import find_layout
from nearfar_medical.cases import Case, find_cases
from nearfar_medical.layouts import LAYOUTS


@pytest.fixture
def put(tmp_path, write_nifti):
    """Writes volumes at paths relative to ``tmp_path/set``, and gives that folder."""

    def written(*names):
        for name in names:
            write_nifti(tmp_path / "set" / name, np.zeros((3, 3, 3), np.uint8))
        return tmp_path / "set"

    return written


def describe(folder, **content):
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def names(dataset):
    return [case.name for case in dataset.cases]


def fails(*words, **call):
    """The call's message is one line that has all words."""
    with pytest.raises(UserError) as caught:
        find_cases(**call)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


# Folders


def test_folder(put):
    root = put("images/b.nii.gz", "images/a.nii", "images/c.nii.gz", "labels/b.nii.gz")
    (root / "images" / "._b.nii.gz").write_bytes(b"macOS")
    (root / "images" / "notes.txt").write_text("x")
    found = find_cases(root)
    assert found.layout == "folder"
    assert found.classes == {}
    assert names(found) == ["a", "b", "c"]
    assert found.labelled == (
        Case("b", "b", (root / "images/b.nii.gz",), root / "labels/b.nii.gz"),
    )


def test_folder_of_training_and_test(put):
    root = put("imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTs/b.nii.gz")
    assert [(c.name, c.role) for c in find_cases(root).cases] == [("a", "training"), ("b", "test")]


def test_flat_folder_and_one_file(put):
    root = put("x_1.nii.gz", "x_2.nii.gz")
    assert names(find_cases(root)) == ["x_1", "x_2"]
    assert find_cases(root).labelled == ()
    one = find_cases(root / "x_2.nii.gz")
    assert names(one) == ["x_2"]
    assert one.root == root


def test_subjects_by_name(put):
    root = put(
        "patient001_frame01.nii.gz", "patient001_frame12.nii.gz", "sub-2_ses-1_run-1_T1w.nii.gz",
        "sub-2_ses-2_T1w.nii.gz", "la_003.nii.gz", "la_004.nii.gz", "p9_ses-1_run-2.nii.gz",
    )  # fmt: skip
    assert {c.name: c.subject for c in find_cases(root).cases} == {
        "patient001_frame01": "patient001", "patient001_frame12": "patient001",
        "sub-2_ses-1_run-1_T1w": "sub-2", "sub-2_ses-2_T1w": "sub-2",
        "la_003": "la_003", "la_004": "la_004", "p9_ses-1_run-2": "p9",
    }  # fmt: skip


def test_folder_faults(tmp_path, put):
    fails("none", "no such file", path=tmp_path / "none")
    (tmp_path / "set").mkdir()
    fails("no known layout", "dataset.json", "or NIfTI files alone", path=tmp_path / "set")
    fails("unknown", "folder", path=tmp_path, layout="dicom")
    root = put("images/a.nii.gz", "labels/a_seg.nii.gz")
    fails("a_seg.nii.gz", "no image of this name", path=root)
    fails("or --label-suffix seg", path=root)
    (root / "labels/a_seg.nii.gz").unlink()
    fails("no option 'image_suffix'", "folder", path=root, image_suffix="T1w")
    put("images/a.nii")
    fails("a.nii", "lies beside it", path=root)


def test_masks_among_images(put):
    text = fails("looks like the mask of a_1", "labels/", path=put("a_1.nii.gz", "a_1-seg.nii.gz"))
    assert "a_1-seg.nii.gz" in text


def test_two_cases_of_one_name(put):
    root = put("a$b.nii.gz", "a_b.nii.gz")
    fails("'a_b'", "a$b.nii.gz", "a_b.nii.gz", path=root)


def test_names_are_the_files_own(tmp_path, put):
    """With spaces; and ü is ü, however its file writes it."""
    root = put("Müller A.nii", "Łęcka (2).nii.gz", "Mu\u0308ller B scan 2.nii")
    table = tmp_path / "subjects.csv"
    table.write_text("case,subject\nMüller A,7\nŁęcka (2),8\n", encoding="utf-8")
    found = find_cases(root, subjects=table)
    assert {c.name: c.subject for c in found.cases} == {
        "Müller A": "7", "Müller B scan 2": "Müller B", "Łęcka (2)": "8",
    }  # fmt: skip
    assert "changed" not in "".join(found.notes)


def test_names_that_no_case_has(tmp_path, put):
    root = put("a[1].nii", "b.nii")
    table = tmp_path / "subjects.csv"
    table.write_text("case,subject\na[1],anna\nb,ben\n")
    found = find_cases(root, subjects=table)
    assert {c.name: c.subject for c in found.cases} == {"a_1_": "anna", "b": "ben"}
    assert found.notes == (
        f"{root}: 1 of 2 names are changed to be fit for files, such as 'a[1]' to 'a_1_'",
    )


def test_masks_with_a_suffix(put):
    root = put("images/Müller A.nii", "images/b_1.nii.gz", "images/c.nii", "labels/b_1_mask.nii.gz",
               "labels/Müller A_mask.nii.gz", "labels/b_1_other.nii")  # fmt: skip
    for suffix in ("mask", "_mask"):
        found = find_cases(root, label_suffix=suffix)
        assert [(c.name, c.label.name) for c in found.labelled] == [
            ("Müller A", "Müller A_mask.nii.gz"), ("b_1", "b_1_mask.nii.gz"),
        ]  # fmt: skip
    fails("no mask in labels/ ends in 'seg'", path=root, label_suffix="seg")
    assert len(find_cases(root, labels=False).cases) == 3


def test_classes_named_beside_a_folder(put):
    root = describe(put("images/a.nii", "labels/a.nii"), labels={"left": 17, "right": 53})
    found = find_cases(root)
    assert found.layout == "folder"
    assert found.classes == {0: "background", 17: "left", 53: "right"}
    describe(root, labels=["left"])
    fails("dataset.json: labels is ['left']", path=root)
    assert len(find_cases(root, labels=False).cases) == 1


def test_names_fit_for_files():
    for name in ("", "../a", "a/b", ".a", "a:b", "a\n"):
        with pytest.raises(ValueError, match="fit for a file"):
            Case(name, "s", (None,))


# Subjects told by a table


@pytest.mark.parametrize(("ending", "mark"), [(".csv", ","), (".tsv", "\t"), (".CSV", ";")])
def test_subjects_table(tmp_path, put, ending, mark):
    root = put("a.nii", "b.nii", "c.nii", "p_ses-1.nii", "p_ses-2.nii")
    table = tmp_path / f"subjects{ending}"
    rows = ["case,subject,age", "a,anna,3", "b,anna,4", "p,paul,5"]
    table.write_text("\n".join(rows).replace(",", mark) + "\n")
    dataset = find_cases(root, subjects=table)
    found = {c.name: c.subject for c in dataset.cases}
    assert found == {"a": "anna", "b": "anna", "c": "c", "p_ses-1": "paul", "p_ses-2": "paul"}
    assert dataset.notes == (
        f"{table}: 1 of 5 cases have no entry, such as c; each is of the subject that its name "
        "tells",
    )
    table.write_text(table.read_text() + f"c{mark}carl{mark}6\n")
    assert find_cases(root, subjects=table).notes == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,subject\na,x\n", ("expected case and subject",)),
        ("case,subject\nz,x\n", ("row 1", "no case 'z'")),
        ("case,subject\na,\n", ("row 1", "no subject")),
        ("case,subject\na\n", ("row 1", "no subject")),
        ("case,subject\na,x\na,y\n", ("row 2", "'a' is of 'y', but of 'x' before")),
        ('case,subject\n"a,x\n', ("cannot be read as csv",)),
        ("", ("expected a header and rows",)),
    ],
)
def test_subjects_table_faults(tmp_path, put, text, words):
    table = tmp_path / "subjects.csv"
    table.write_text(text)
    fails("subjects.csv", *words, path=put("a.nii"), subjects=table)


def test_subjects_table_that_is_none(tmp_path, put):
    root = put("a.nii")
    fails("none.csv", "no such file", path=root, subjects=tmp_path / "none.csv")
    fails("a.nii", "UTF-8", path=root, subjects=root / "a.nii")


# Decathlon


def test_decathlon(put):
    root = put("imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "imagesTs/c.nii.gz")
    describe(
        root,
        labels={"0": "background", "2": "posterior", "1": "anterior"},
        training=[
            {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"},
            {"image": ["imagesTr/b.nii.gz"]},
        ],
        test=["./imagesTs/c.nii.gz"],
    )
    found = find_cases(root)
    assert found.layout == "decathlon"
    assert list(found.classes.items()) == [(0, "background"), (1, "anterior"), (2, "posterior")]
    assert [(c.name, c.role, c.label is not None) for c in found.cases] == [
        ("a", "training", True), ("b", "training", False), ("c", "test", False),
    ]  # fmt: skip
    assert found.cases[0].images[0].is_file()
    assert find_cases(root / "dataset.json") == found


def test_monai_list_of_a_folder_elsewhere(tmp_path, put):
    """Each case in its own folder, where names of files repeat; paths within, even absolute."""
    root = put("p1/t1.nii.gz", "p1/t2.nii.gz", "p1/seg.nii.gz", "p2/t1.nii.gz", "p2/t2.nii.gz")
    lists = tmp_path / "lists"
    lists.mkdir()
    describe(
        lists,
        training=[{"image": ["p1/t1.nii.gz", "p1/../p1/t2.nii.gz"], "label": "p1/seg.nii.gz"}],
        validation=[{"image": [str(root / "p2/t1.nii.gz"), "p2/t2.nii.gz"]}],
    )
    found = find_cases(lists / "dataset.json", root=root)
    assert names(found) == ["p1-t1", "p2-t1"]
    assert found.cases[0].images == (root / "p1/t1.nii.gz", root / "p1/t2.nii.gz")
    assert [c.role for c in found.cases] == ["training", "validation"]
    fails("dataset.json", "training[0]", "no such file", path=lists / "dataset.json")


@pytest.mark.parametrize("text", ["../other/b.nii.gz", "/etc/passwd", "images/../../set2/b.nii.gz"])
def test_paths_that_leave_the_folder(tmp_path, put, write_nifti, text):
    for folder in ("other", "set2"):
        write_nifti(tmp_path / folder / "b.nii.gz", np.zeros((3, 3, 3)))
    root = describe(put("a.nii.gz"), training=[{"image": "a.nii.gz"}, {"image": text}])
    fails("dataset.json: training[1], image", text, "leads out of", path=root)
    describe(root, training=[{"image": "a.nii.gz", "label": text}])
    fails("training[0], label", text, "leads out of", path=root)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"training": {"image": "a.nii.gz"}}, ("training is no list",)),
        ({"training": [3]}, ("training[0] is 3", "image")),
        ({"training": [{"label": "a.nii.gz"}]}, ("training[0] is", "image")),
        ({"training": [{"image": []}]}, ("training[0], image: no file",)),
        ({"training": [{"image": 5}]}, ("training[0], image: path is 5",)),
        ({"training": [{"image": ""}]}, ("training[0], image: path is ''",)),
        ({"training": [{"image": "b.nii.gz"}]}, ("'b.nii.gz': no such file",)),
        ({"training": [{"image": "a.nii.gz", "label": ["x", "y"]}]}, ("label: 2 files",)),
        ({"training": []}, ("holds no volume",)),
        ({"name": "x"}, ("no list of cases",)),
        ({"training": [{"image": "a.nii.gz"}], "test": ["a.nii.gz"]}, ("like", "a.nii.gz")),
    ],
)
def test_decathlon_faults(put, content, words):
    root = describe(put("a.nii.gz"), **content)
    fails(*words, path=root / "dataset.json")


@pytest.mark.parametrize("text", ["{", "[1]", "\xff", '{"training": ' + "[" * 100_000])
def test_json_that_is_none(put, text):
    root = put("a.nii.gz")
    (root / "dataset.json").write_text(text, encoding="latin-1")
    fails("dataset.json", path=root / "dataset.json")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a"], ("labels is ['a']",)),
        ({"background": 0, "whole": [1, 2]}, ("'whole'", "region", "[1, 2]")),
        ({"background": 0, "a": 1, "ignore": 2}, ("ignore",)),
        ({f"a{n}": n for n in range(300)}, ("300 labels", "at most 256")),
        ({"background": 0, "a": 1, "b": 1}, ("'a' and 'b' are both 1",)),
        ({"background": 0, "a": 65536}, ("'a' is 65536", "0 to 65535")),
        ({"background": 0, "a": -1}, ("'a' is -1",)),
        ({"0": "background", "65536": "a"}, ("'65536' is 'a'", "0 to 65535")),
        ({"background": 0, "a": 1.5}, ("'a' is 1.5",)),
        ({"background": "x"}, ("'background' is 'x'",)),
        ({"background": 0, "a\nb": 1}, ("expected a name",)),
        ({"0": "", "1": "a"}, ("label ''", "expected a name")),
    ],
)
def test_label_faults(put, labels, words):
    root = describe(put("a.nii.gz"), training=["a.nii.gz"], labels=labels)
    fails("dataset.json", *words, path=root)


@pytest.mark.parametrize(
    "labels",
    [{"0": "background", "1": "a"}, {"background": 0, "a": 1}, {"background": "0", "a": "1"}],
)
def test_labels_both_ways(put, labels):
    root = describe(put("x.nii.gz"), training=["x.nii.gz"], labels=labels)
    assert find_cases(root).classes == {0: "background", 1: "a"}


def test_labels_with_gaps(put):
    root = describe(put("x.nii.gz"), training=["x.nii.gz"], labels={"right": 53, "left": 17})
    assert list(find_cases(root).classes.items()) == [
        (0, "background"), (17, "left"), (53, "right"),
    ]  # fmt: skip


# nnU-Net


@pytest.fixture
def nnunet(put):
    return put(
        "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "imagesTr/b_0000.nii.gz",
        "imagesTr/b_0001.nii.gz", "labelsTr/a.nii.gz", "imagesTs/c_0000.nii.gz",
        "imagesTs/c_0001.nii.gz",
    )  # fmt: skip


def expect_nnunet(root):
    found = find_cases(root)
    assert found.layout == "nnunet"
    assert [(c.name, len(c.images), c.role) for c in found.cases] == [
        ("a", 2, "training"), ("b", 2, "training"), ("c", 2, "test"),
    ]  # fmt: skip
    assert [p.name for p in found.cases[0].images] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert [c.name for c in found.labelled] == ["a"]
    return found


def test_nnunet_v2(nnunet):
    describe(
        nnunet, channel_names={"0": "T1", "1": "T2"}, labels={"background": 0, "cord": 1},
        numTraining=1, file_ending=".nii.gz",
    )  # fmt: skip
    assert expect_nnunet(nnunet).classes == {0: "background", 1: "cord"}


def test_nnunet_v1(nnunet):
    """It lists files as the Decathlon does, without the channel: those are not there."""
    describe(
        nnunet, modality={"0": "T1", "1": "T2"}, labels={"0": "background", "1": "cord"},
        training=[{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
        test=["./imagesTs/c.nii.gz"],
    )  # fmt: skip
    assert expect_nnunet(nnunet).classes == {0: "background", 1: "cord"}


def test_nnunet_without_description(nnunet):
    assert expect_nnunet(nnunet).classes == {}


def test_nnunet_listed(nnunet):
    entries = {"q": {"images": ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"],
                     "label": "labelsTr/a.nii.gz"}}  # fmt: skip
    describe(nnunet, channel_names={"0": "x", "1": "y"}, labels={"background": 0}, dataset=entries)
    assert names(find_cases(nnunet)) == ["q"]
    entries["q"]["images"].append("../../x.nii.gz")
    describe(nnunet, channel_names={"0": "x", "1": "y"}, dataset=entries)
    fails("dataset['q']", "3 images", path=nnunet)
    describe(nnunet, channel_names={"0": "x", "1": "y", "2": "z"}, dataset=entries)
    fails("dataset['q']", "leads out of", path=nnunet)


def test_decathlon_names_that_look_like_channels(put):
    """MSD's own test: names of four digits, listed as they are."""
    root = put("imagesTr/p_0000.nii.gz", "imagesTr/p_0001.nii.gz")
    listed = [{"image": f"./imagesTr/p_000{n}.nii.gz"} for n in range(2)]
    describe(root, training=listed, modality={"0": "CT"})
    assert find_layout(LAYOUTS, root) == "decathlon"
    assert len(find_cases(root).cases) == 2


def test_nnunet_flat_folder(put):
    root = put("a_0000.nii.gz", "a_0001.nii.gz")
    assert len(find_cases(root, "nnunet").cases[0].images) == 2
    assert len(find_cases(root).cases) == 2


def test_nnunet_faults(put, nnunet):
    v2 = {"channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".nii.gz"}
    describe(nnunet, **v2 | {"file_ending": ".png"})
    fails("file_ending", ".png", path=nnunet)
    describe(nnunet, **v2 | {"channel_names": ["T1"]})
    fails("channel_names", path=nnunet)
    describe(nnunet, **v2, labels={"background": 0, "whole": [1, 2]})
    fails("region", path=nnunet)
    describe(nnunet, **v2)
    (nnunet / "imagesTr/b_0001.nii.gz").unlink()
    fails("case b", "[0]", "0 to 1", path=nnunet)
    put("imagesTr/b_0001.nii.gz", "imagesTr/odd.nii.gz")
    fails("odd.nii.gz", "CASE_0000.nii.gz", path=nnunet)
    (nnunet / "imagesTr/odd.nii.gz").unlink()
    put("labelsTr/z.nii.gz")
    fails("z.nii.gz", "no images of this case", path=nnunet)


# BIDS


@pytest.fixture
def bids(put):
    root = put(
        "sub-01/ses-1/anat/sub-01_ses-1_run-1_T2starw.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_run-2_T2starw.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T2starw.nii.gz",
        "sub-02/anat/sub-02_T2starw.nii.gz",
        "sub-02/func/sub-02_bold.nii.gz",
    )
    masks = "derivatives/labels/"
    put(
        masks + "sub-01/ses-1/anat/sub-01_ses-1_run-1_T2starw_gmseg-manual.nii.gz",
        masks + "sub-01/ses-1/anat/sub-01_ses-1_run-1_T2starw_seg-manual.nii.gz",
        masks + "sub-02/anat/sub-02_T2starw_gmseg-manual.nii.gz",
    )
    return root


def test_bids(bids):
    fails("gmseg-manual, seg-manual", "choose by --label-suffix", path=bids)
    found = find_cases(bids, label_suffix="gmseg")
    assert found.layout == "bids"
    assert {c.name: (c.subject, c.label and c.label.name) for c in found.cases} == {
        "sub-01_ses-1_run-1_T2starw": (
            "sub-01", "sub-01_ses-1_run-1_T2starw_gmseg-manual.nii.gz",
        ),
        "sub-01_ses-1_run-2_T2starw": ("sub-01", None),
        "sub-01_ses-2_T2starw": ("sub-01", None),
        "sub-02_T2starw": ("sub-02", "sub-02_T2starw_gmseg-manual.nii.gz"),
    }  # fmt: skip
    assert find_cases(bids, label_suffix="gmseg-manual") == found
    assert len(find_cases(bids, label_suffix="seg").labelled) == 1
    fails("no labels called _lesion", "gmseg-manual, seg-manual", path=bids, label_suffix="lesion")


def test_without_labels(bids, put, tmp_path):
    """Who does not need them is asked no choice."""
    assert len(find_cases(bids, labels=False).cases) == 4
    assert find_cases(bids, labels=False).labelled == ()
    assert find_cases(bids, labels=False, label_suffix="gmseg").labelled == ()
    bids.rename(tmp_path / "bids")
    root = put("images/a.nii", "labels/a.nii")
    assert len(find_cases(root).labelled) == 1
    assert find_cases(root, labels=False).labelled == ()


def test_bids_images_of_two_contrasts(bids, put):
    put("sub-02/anat/sub-02_T1w.nii.gz", "derivatives/labels/sub-02/anat/sub-02_T1w_seg.nii.gz")
    fails("T1w, T2starw", "choose by --image-suffix", path=bids)
    found = find_cases(bids, image_suffix="T1w")
    assert names(found) == ["sub-02_T1w"]
    assert found.labelled[0].label.name == "sub-02_T1w_seg.nii.gz"
    other = find_cases(bids, image_suffix="T2starw", label_suffix="gmseg")
    assert len(other.cases) == 4
    fails("no images called _T2w", "T1w, T2starw", path=bids, image_suffix="T2w")


def test_bids_masks_by_entities(put):
    """BIDS's own way; masks of run 1 are none of an image without a run."""
    root = put("sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_run-1_T1w.nii.gz")
    put("derivatives/manual/sub-1/anat/sub-1_run-1_desc-ana_dseg.nii.gz")
    found = find_cases(root)
    assert [c.name for c in found.labelled] == ["sub-1_run-1_T1w"]
    put("derivatives/auto/sub-1/anat/sub-1_run-1_desc-ana_dseg.nii.gz")
    fails("is called like", "auto", "manual", path=root)


def test_bids_without_masks(put):
    root = put("sub-1/anat/sub-1_T1w.nii.gz")
    assert find_cases(root).labelled == ()
    fails("no masks", path=root, label_suffix="seg")


@pytest.mark.data
def test_spinal_cord(real):
    root = real("spinalcord_gm_challenge_bids")
    fails("gmseg-manual, seg-manual", "choose by --label-suffix", path=root)
    found = find_cases(root, label_suffix="gmseg")
    assert found.layout == "bids"
    assert (len(found.cases), len(found.labelled)) == (15, 8)
    assert all("_gmseg-" in c.label.name and "run-1" in c.name for c in found.labelled)
    assert all("_seg-" in c.label.name for c in find_cases(root, label_suffix="seg").labelled)
    assert len({c.subject for c in found.cases}) == 8


@pytest.mark.data
def test_other_real_sets(real):
    hippocampus = find_cases(real("msd_hippocampus"))
    assert (hippocampus.layout, len(hippocampus.cases), len(hippocampus.labelled)) == (
        "folder", 200, 200,
    )  # fmt: skip
    assert all(c.label.name == c.images[0].name for c in hippocampus.cases)
    assert names(find_cases(real("totalseg_fixture"))) == ["example_ct_sm", "example_mr_sm"]
