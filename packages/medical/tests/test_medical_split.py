"""Splits: by subject, by the data set's own roles, the same for the same seed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nearfar_kit.errors import UserError
from nearfar_medical.cases import Case, DataSet, find_cases
from nearfar_medical.split import split_cases

CLASSES = {0: "background", 1: "cord"}


def case(name, subject=None, *, label=True, role=None):
    files = (Path(f"{name}.nii"),)
    return Case(name, subject or name, files, Path(f"{name}_seg.nii") if label else None, role)


def dataset(*cases):
    return DataSet(tuple(cases), CLASSES, "folder", Path("set"))


def parts(split):
    return (split.training_labelled, split.unlabelled, split.validation, split.test, split.aside)


def sizes(split):
    return [len(part) for part in parts(split)]


def names(cases):
    return {c.name for c in cases}


def expect_apart(data, split):
    """Every case is in one part; nobody is on two sides."""
    every = [c.name for part in parts(split) for c in part]
    assert sorted(every) == sorted(names(data.cases))
    training = {c.subject for c in split.pretraining}
    validation = {c.subject for c in split.validation}
    test = {c.subject for c in split.test}
    assert not training & validation
    assert not training & test
    assert not validation & test
    assert not training & {c.subject for c in split.aside}
    assert set(split.training_labelled) <= set(split.pretraining)
    for part in (split.training_labelled, split.validation, split.test):
        assert all(c.label is not None for c in part)


# Two labelled volumes and an unlabelled one of each of twelve, and three unlabelled strangers.
MANY = dataset(
    *(case(f"p{n:02}_{v}", f"p{n:02}", label=v != "c") for n in range(12) for v in "abc"),
    *(case(f"q{n}", label=False) for n in range(3)),
)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_on_two_sides(seed):
    split = split_cases(MANY, labelled=3, validation=3, test=5, seed=seed)
    expect_apart(MANY, split)
    # Whole subjects: 3 volumes of validation take two, 5 of test three.
    assert sizes(split) == [3, 39 - 3 - 15, 4, 6, 5]
    assert names(MANY.cases[-3:]) <= names(split.unlabelled)


def test_same_seed_same_split():
    one = split_cases(MANY, labelled=3, validation=2, test=4, seed=5)
    shuffled = replace(MANY, cases=MANY.cases[::-1])
    assert split_cases(shuffled, labelled=3, validation=2, test=4, seed=5) == one
    assert split_cases(MANY, labelled=3, validation=2, test=4, seed=6) != one


def test_fewer_labels_are_among_more():
    splits = [split_cases(MANY, labelled=n, validation=2, test=4, seed=1) for n in (1, 2, 8, None)]
    for few, more in itertools.pairwise(splits):
        assert names(few.training_labelled) < names(more.training_labelled)
        assert (few.test, few.validation) == (more.test, more.validation)
        assert few.pretraining == more.pretraining
    assert len(splits[-1].training_labelled) == 24 - 2 - 4


def test_share_of_test():
    assert len(split_cases(MANY, labelled=1, validation=0, test=0.25, seed=0).test) == 6
    assert len(split_cases(MANY, labelled=1, validation=0, test=0.01, seed=0).test) == 2
    for share in (0.0, 1.0, 1.5, -0.5):
        with pytest.raises(UserError, match="expected a share"):
            split_cases(MANY, labelled=1, validation=0, test=share, seed=0)


def test_without_any_label():
    data = dataset(*(case(f"q{n}", label=False) for n in range(3)))
    split = split_cases(data, labelled=None, validation=0, test=None, seed=0)
    assert sizes(split) == [0, 3, 0, 0, 0]
    with pytest.raises(UserError, match="no volume has a mask; expected"):
        split_cases(data, labelled=1, validation=0, test=None, seed=0)


def test_masks_that_were_not_looked_at(tmp_path, write_nifti):
    """The folder of images is given for the one above it."""
    for name in ("images/a", "labels/a", "alone/images/a"):
        write_nifti(tmp_path / f"{name}.nii", np.zeros((3, 3, 3), np.uint8))

    def said(folder):
        with pytest.raises(UserError) as caught:
            split_cases(find_cases(folder), labelled=None, validation=2, test=0.2, seed=0)
        return str(caught.value)

    assert said(tmp_path / "images").endswith(
        "images: holds images alone; expected the folder above it, which has labels/ too"
    )
    assert "alone: no volume has a mask; expected masks in labels/" in said(tmp_path / "alone")
    few = dataset(case("a"), case("b"))
    with pytest.raises(UserError, match="2 of validation and 1 to learn from"):
        split_cases(few, labelled=None, validation=2, test=1, seed=0)


def test_roles_are_kept():
    data = dataset(
        *(case(f"a{n}", role="training") for n in range(5)),
        case("b0", role="training", label=False),
        case("c0", role="validation"),
        case("d0", role="test"),
        case("d1", role="test"),
        case("d2", role="test", label=False),
        case("d0_later", "d0", label=False),
    )
    for seed in range(5):
        split = split_cases(data, labelled=2, validation=3, test=4, seed=seed)
        expect_apart(data, split)
        assert names(split.test) == {"d0", "d1"}
        assert names(split.validation) == {"c0"}
        assert names(split.aside) == {"d2", "d0_later"}
        assert len(split.training_labelled) == 2
        assert "b0" in names(split.unlabelled)


def test_test_images_without_labels_are_set_aside():
    """As in the Decathlon: what is scored is drawn from those with labels."""
    data = dataset(
        *(case(f"a{n}", role="training") for n in range(6)),
        *(case(f"t{n}", role="test", label=False) for n in range(3)),
    )
    split = split_cases(data, labelled=None, validation=1, test=2, seed=0)
    assert sizes(split) == [3, 0, 1, 2, 3]
    assert names(split.aside) == {"t0", "t1", "t2"}


def test_roles_that_part_a_subject():
    data = dataset(case("a1", "a", role="training"), case("a2", "a", role="test"), case("b"))
    with pytest.raises(UserError) as caught:
        split_cases(data, labelled=1, validation=0, test=None, seed=0)
    text = str(caught.value)
    assert "\n" not in text
    for word in ("subject a ", "a1.nii", "training", "a2.nii", "test"):
        assert word in text


@pytest.mark.parametrize(
    ("labelled", "validation", "test"),
    [(25, 0, 0), (1, 24, 0), (1, 0, 24), (None, 0, 24), (None, 12, 12), (1, 0, 25), (17, 4, 4)],
)
def test_too_few(labelled, validation, test):
    with pytest.raises(UserError, match="24 labelled volumes of 12 subjects"):
        split_cases(MANY, labelled=labelled, validation=validation, test=test, seed=0)


@pytest.mark.parametrize("wrong", ["labelled", "validation", "test"])
def test_negative_numbers(wrong):
    call = {"labelled": 1, "validation": 1, "test": 1, wrong: -1}
    with pytest.raises(UserError, match=f"{wrong} is -1"):
        split_cases(MANY, **call, seed=0)


@pytest.mark.data
def test_spinal_cord_people_seen_twice(tmp_path, real):
    """Four of its subjects are two people; a table tells."""
    table = tmp_path / "people.csv"
    rows = [f"sub-{n}Ses{s},{n}" for n in (9709, 10062) for s in (1, 2)]
    table.write_text("case,subject\n" + "\n".join(rows))
    data = find_cases(real("spinalcord_gm_challenge_bids"), label_suffix="gmseg", subjects=table)
    assert len({c.subject for c in data.cases}) == 6
    for seed in range(10):
        split = split_cases(data, labelled=2, validation=1, test=2, seed=seed)
        expect_apart(data, split)


@pytest.mark.data
def test_hippocampus(real):
    data = find_cases(real("msd_hippocampus"))
    split = split_cases(data, labelled=8, validation=2, test=50, seed=0)
    expect_apart(data, split)
    assert sizes(split) == [8, 140, 2, 50, 0]
