"""Scores against hand-counted ones and brute force, and the files they are written to."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from nearfar_kit.errors import UserError
from nearfar_medical.scores import Score, mean_scores, score_case, write_scores

CLASSES = {0: "background", 1: "cord", 2: "grey"}


def scored(found, truth, spacing=(1, 1, 1), classes=CLASSES):
    return score_case("a", "s", found, truth, spacing, classes)


def box(shape, *edges, value=1):
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(*edge) for edge in edges)] = value
    return mask


def test_by_hand():
    truth = box((10, 6, 6), (0, 4), (1, 5), (1, 5))
    found = box((10, 6, 6), (2, 6), (1, 5), (1, 5))
    cord, grey = scored(found, truth, (2.5, 1, 1))
    assert cord.dice == pytest.approx(0.5)
    assert cord.hd95 == pytest.approx(5)  # two voxels of 2.5 mm
    assert (cord.true_voxels, cord.found_voxels) == (64, 64)
    assert (cord.case, cord.subject, cord.value, cord.structure) == ("a", "s", 1, "cord")
    assert math.isnan(grey.dice)


def test_against_brute_force():
    rng = np.random.default_rng(0)
    spacing = np.array([0.7, 1.0, 3.0])
    for _ in range(3):
        truth, found = (rng.random((9, 8, 5)) < 0.3 for _ in range(2))
        (score,) = scored(
            found.astype(np.uint8), truth.astype(np.uint8), spacing, {0: "background", 1: "x"}
        )
        edges = [np.argwhere(m ^ binary_erosion(m)) * spacing for m in (found, truth)]
        far = np.linalg.norm(edges[0][:, None] - edges[1][None], axis=-1)
        expected = max(np.percentile(far.min(1), 95), np.percentile(far.min(0), 95))
        assert score.hd95 == pytest.approx(expected, rel=1e-5)
        assert score.dice == pytest.approx(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def test_the_same_mask():
    mask = box((5, 5, 5), (0, 5), (0, 5), (0, 5)) + box((5, 5, 5), (1, 2), (1, 2), (1, 2))
    assert [(s.dice, s.hd95) for s in scored(mask, mask)] == [(1, 0), (1, 0)]


def test_whose_voxels_are_counted():
    few, many = box((5, 5, 5), (1, 2), (1, 2), (1, 3)), box((5, 5, 5), (0, 3), (0, 2), (0, 2))
    score, _ = scored(few, many)
    assert (score.found_voxels, score.true_voxels) == (2, 12)
    assert score.dice == pytest.approx(2 * 1 / 14)


def test_absent_classes():
    some, none = box((4, 4, 4), (1, 3), (1, 3), (1, 3)), np.zeros((4, 4, 4), np.uint8)
    for found, truth in ((some, none), (none, some)):
        cord, grey = scored(found, truth)
        assert (cord.dice, cord.hd95) == (0, math.inf)
        assert math.isnan(grey.dice)
        assert math.isnan(grey.hd95)
    assert all(math.isnan(s.dice) and math.isnan(s.hd95) for s in scored(none, none))


def test_masks_on_two_grids():
    with pytest.raises(ValueError, match="expected one shape"):
        scored(np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3, 4), np.uint8))


def row(case, value, dice, hd95):
    return Score(case, case, value, CLASSES[value], dice, hd95, 1, 1)


ROWS = [
    row("a", 1, 1.0, 1.0), row("a", 2, 0.5, 3.0),
    row("b", 1, 0.8, 2.0), row("b", 2, math.nan, math.nan),
    row("c", 1, 0.0, math.inf), row("c", 2, 0.4, 5.0),
]  # fmt: skip


def test_means():
    found = mean_scores(ROWS)
    assert list(found) == ["cord", "grey", "all"]
    assert found["cord"]["dice"].mean == pytest.approx(0.6)
    assert (found["cord"]["hd95"].mean, found["cord"]["hd95"].n) == (1.5, 2)
    assert (found["grey"]["dice"].mean, found["grey"]["dice"].n) == (pytest.approx(0.45), 2)
    # Over cases: .75, .8, .2
    assert found["all"]["dice"].mean == pytest.approx((0.75 + 0.8 + 0.2) / 3)
    assert found["all"]["dice"].n == 3


def test_written(tmp_path):
    folder = tmp_path / "new" / "scores"
    write_scores(folder, ROWS)
    assert sorted(p.name for p in folder.iterdir()) == ["scores.csv", "scores.json"]
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["case", "subject", "value", "structure", "dice", "hd95"]
    assert (rows[0]["dice"], rows[3]["dice"], rows[4]["hd95"]) == ("1.0", "", "inf")

    def never(word):
        raise AssertionError(f"{word} is no JSON")

    content = json.loads((folder / "scores.json").read_text(), parse_constant=never)
    assert content["scores"][3]["dice"] is None
    assert content["scores"][4]["hd95"] == "inf"
    assert content["means"]["cord"]["dice"]["mean"] == pytest.approx(0.6)
    assert "absent" in content["rule"]


def test_no_formula_is_written(tmp_path):
    """Whatever a table of subjects or a dataset.json calls them."""
    write_scores(tmp_path, [Score("-a", "=b", 1, "@c", 1.0, 1.0, 1, 1)])
    (found,) = csv.DictReader((tmp_path / "scores.csv").open())
    assert (found["case"], found["subject"], found["structure"]) == ("'-a", "'=b", "'@c")


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/x: cannot be written"):
        write_scores(tmp_path / "file" / "x", ROWS)
