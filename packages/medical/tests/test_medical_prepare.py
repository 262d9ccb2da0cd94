"""Preparation and its undoing, the contrast of parts, and the cache."""

from __future__ import annotations

import os

import numpy as np
import pytest

from nearfar_kit.errors import UserError
from nearfar_medical.cache import prepare_case, prepare_cases, prepared
from nearfar_medical.cases import Case, find_cases
from nearfar_medical.geometry import filled
from nearfar_medical.prepare import (
    Preparation,
    part_contrast,
    warn_if_cut,
    warn_if_parts_alike,
)  # fmt: skip
from nearfar_medical.scores import score_case
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.volume import Volume, classes_in, read_mask

CLASSES = {0: "background", 1: "a", 2: "b"}


def volume(shape, spacing=(1.0, 1.0, 1.0), channels=1, seed=0):
    noise = np.random.default_rng(seed).normal(size=(channels, *shape)).astype(np.float32)
    return Volume(noise, np.diag([*spacing, 1]), spacing, "a.nii")


def blobs(shape, seed=0):
    """A mask of two thick boxes; thin things cannot outlive resampling."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    for value in (1, 2):
        first = [int(rng.integers(0, side // 2)) for side in shape]
        mask[tuple(slice(f, f + side // 2) for f, side in zip(first, shape, strict=True))] = value
    return mask


def preparation(**changes):
    call = {"slice_axis": 2, "spacing": (1.0, 1.0), "thickness": None, "size": (16, 24),
            "percentiles": (1.0, 99.0)}  # fmt: skip
    return Preparation(**call | changes)


def one_hot(mask, classes=3):
    return np.stack([mask == k for k in range(classes)]).astype(np.float32)


# Places


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(16, 16, 16), (9, 12, 15), (15, 9, 12), (16, 15, 1), (1, 1, 1)])
def test_round_trip_is_exact_where_nothing_is_cut(axis, shape):
    mask = np.random.default_rng(2).integers(0, 3, shape).astype(np.uint8)
    made = preparation(slice_axis=axis, size=(16, 16), percentiles=(0.0, 100.0))
    source = volume(shape) if max(shape) > 1 else Volume(
        np.zeros((1, 1, 1, 1), np.float32), np.eye(4), (1.0, 1.0, 1.0), "dot.nii"
    )  # fmt: skip
    if max(shape) == 1:
        with pytest.raises(UserError, match="contrast"):
            made.apply(source, mask)
        return
    image, placed, placement = made.apply(source, mask)
    slices = shape[axis]
    assert image.shape == (1, slices, 16, 16)
    assert placed.shape == (slices, 16, 16)
    assert (image.dtype, placed.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(made.undo(one_hot(placed), placement), mask)


def test_axes_go_where_they_should():
    source = volume((5, 6, 7))
    source.image[0, 4, 2, 3] = 100
    for axis, (s, h, w) in ((0, (4, 2, 3)), (1, (2, 4, 3)), (2, (3, 4, 2))):
        image, _, placement = preparation(slice_axis=axis, size=(9, 9)).apply(source)
        rows, columns = placement.native[1:]
        peak = np.unravel_index(image.argmax(), image.shape)
        assert peak == (0, s, h + (9 - rows) // 2, w + (9 - columns) // 2)


def test_image_and_mask_stay_together():
    """The mask's voxels are those of the image, cut, padded and resampled alike."""
    for shape, spacing in (((40, 30, 4), (0.5, 0.5, 3)), ((10, 33, 5), (1.5, 0.75, 3))):
        mask = blobs(shape, seed=3)
        source = Volume(mask[None].astype(np.float32), np.eye(4), spacing, "a.nii")
        made = preparation(size=(21, 18), percentiles=(0.0, 100.0))
        image, placed, _ = made.apply(source, mask)
        inside = np.rint(image[0] * 2) == placed
        assert inside.mean() > 0.93


def test_cut_voxels_come_back_as_background():
    mask = np.ones((10, 30, 3), np.uint8)
    made = preparation(size=(16, 24))
    _, placed, placement = made.apply(volume((10, 30, 3)), mask)
    back = made.undo(one_hot(placed), placement)
    assert back.shape == mask.shape
    assert back[:, 3:27].all()
    assert not back[:, :3].any()
    assert not back[:, 27:].any()


@pytest.mark.parametrize(
    ("spacing", "thickness"),
    [((0.5, 0.5, 3.0), None), ((1.7, 1.3, 3.0), None), ((0.8, 1.2, 3.0), 1.0), ((1, 1, 1.0), 2.0)],
)
def test_round_trip_by_resampling(spacing, thickness):
    shape = (24, 20, 12)
    mask = blobs(shape)
    made = preparation(size=(64, 64), thickness=thickness)
    image, placed, placement = made.apply(volume(shape, spacing), mask)
    slices = 12 if thickness is None else round(12 * spacing[2] / thickness)
    assert image.shape[1] == slices
    assert placement.resampled == (slices, round(24 * spacing[0]), round(20 * spacing[1]))
    back = made.undo(one_hot(placed), placement)
    for score in score_case("a", "a", back, mask, spacing, CLASSES):
        assert score.dice > 0.8  # faces move by up to half a voxel of the coarser grid
        assert score.hd95 <= max(1.0, thickness or 0)


def test_resampling_keeps_the_place():
    """A ball's centre of mass, in mm, is the same to a fraction of a voxel."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (60, 50, 8)), indexing="ij"))
    ball = np.exp(-((grid[0] - 20.3) ** 2 + (grid[1] - 31.8) ** 2) / 60).astype(np.float32)
    made = preparation(size=(40, 40), percentiles=(0.0, 100.0))
    image, _, placement = made.apply(Volume(ball[None], np.eye(4), (0.6, 0.6, 2.0), "ball.nii"))
    sides = placement.resampled[1:]
    rows, columns = (
        float((image[0, 4].sum(1 - axis) * np.arange(40)).sum() / image[0, 4].sum())
        - (40 - side) // 2
        for axis, side in enumerate(sides)
    )
    # Edges agree: (index + 1/2) * spacing.
    assert (rows + 0.5) * (60 * 0.6 / sides[0]) == pytest.approx(20.8 * 0.6, abs=0.02)
    assert (columns + 0.5) * (50 * 0.6 / sides[1]) == pytest.approx(32.3 * 0.6, abs=0.02)


def test_probabilities_are_compared_after_resizing():
    """Between two voxels the edge lies where the probabilities cross, not where masks do."""
    made = preparation(size=(4, 4), percentiles=(0.0, 100.0))
    _, _, placement = made.apply(volume((16, 16, 1), (0.25, 0.25, 1)))
    chances = np.zeros((2, 1, 4, 4), np.float32)
    chances[1, :, :2] = 0.9
    chances[1, :, 2:] = 0.4
    chances[0] = 1 - chances[1]
    back = made.undo(chances, placement)
    # From row 6 (centre of voxel 1) to 10 it falls from .9 to .4, below .5 after 3.2 of 4.
    assert back[:, 0, 0].tolist() == [1] * 9 + [0] * 7


def test_outside_of_the_frame_is_surely_background():
    """Where the frame ends, a weak majority of another class does not reach beyond it."""
    made = preparation(size=(4, 4), percentiles=(0.0, 100.0))
    _, _, placement = made.apply(volume((32, 32, 1), (0.25, 0.25, 1)))
    chances = np.empty((2, 1, 4, 4), np.float32)
    chances[:, :] = np.array([0.4, 0.6])[:, None, None, None]
    back = made.undo(chances, placement)[:, 16, 0]
    # The frame ends 8 rows from either side; one row within, .6 sinks below the background's share.
    assert back.tolist() == [0] * 9 + [1] * 14 + [0] * 9
    # Of classes that are as likely the first is taken.
    assert not made.undo(np.full((2, 1, 4, 4), 0.5, np.float32), placement).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_axis_has_its_spacing(axis):
    made = preparation(slice_axis=axis, spacing=(2.0, 0.5), thickness=3.0)
    _, _, placement = made.apply(volume((12, 12, 12), (1.0, 1.5, 2.5)))
    across, rows, columns = {0: (1, 1.5, 2.5), 1: (1.5, 1, 2.5), 2: (2.5, 1, 1.5)}[axis]
    assert placement.resampled == (12 * across / 3, 12 * rows / 2, 12 * columns / 0.5)


def test_undo_of_another_volume():
    made = preparation()
    _, _, placement = made.apply(volume((10, 10, 3)))
    with pytest.raises(ValueError, match=r"expected \[K, \*\[3, 16, 24\]\]"):
        made.undo(np.zeros((2, 4, 16, 24), np.float32), placement)


# Intensities


def test_channels_are_scaled_by_their_percentiles():
    source = volume((20, 20, 20), channels=2)
    source.image[1] = source.image[1] * 500 - 2000
    image, _, _ = preparation(size=(20, 20)).apply(source)
    for channel in image:
        assert np.percentile(channel, (1, 99)) == pytest.approx((0, 1), abs=1e-4)
        assert channel.max() > 1.05
        assert channel.min() < -0.05
    np.testing.assert_allclose(image[0], image[1] * 0 + image[0])
    x = np.moveaxis(source.image, 3, 1)[1]
    low, high = np.percentile(x, (1, 99))
    np.testing.assert_allclose(image[1], (x - low) / (high - low), atol=1e-4)


def test_padding_is_zero():
    image, _, _ = preparation(size=(32, 32)).apply(volume((10, 12, 3)))
    assert (image[:, :, :11] == 0).all()
    assert (image[:, :, :, 22:] == 0).all()


@pytest.mark.parametrize("number", [0, 1])
def test_a_channel_without_contrast(number):
    source = volume((10, 10, 10), channels=2)
    source.image[number] = 7
    with pytest.raises(UserError, match=rf"a\.nii: channel {number}: .* both 7; expected"):
        preparation().apply(source)


def test_what_the_frame_cuts_off_is_told():
    mask = np.zeros((20, 10, 3), np.uint8)
    mask[:, 4, 1] = 1  # a line of 20 voxels, of which the frame holds 8
    made = preparation(size=(8, 10))
    _, placed, placement = made.apply(volume((20, 10, 3)), mask)
    assert placement.cut == pytest.approx(12 / 20)
    assert placed.sum() == 8
    whole = preparation(size=(20, 10)).apply(volume((20, 10, 3)), mask)[2]
    assert whole.cut == 0
    assert preparation(size=(8, 10)).apply(volume((20, 10, 3)), mask * 0)[2].cut == 0
    assert warn_if_cut({"b": whole}) is None
    warning = warn_if_cut({"a": placement, "b": whole})
    assert warning.startswith("1 of 2 volumes have labelled voxels outside the frame (60% of a)")


# Settings


def boxes(write_nifti, tmp_path, *grids):
    """One file a grid: its shape and its mm in RAS."""
    cases = []
    for number, (shape, mm) in enumerate(grids):
        path = tmp_path / f"{number}.nii"
        write_nifti(path, np.zeros(shape, np.float32), np.diag([*mm, 1.0]))
        cases.append(Case(str(number), str(number), (path,)))
    return cases


OPEN = MedicalSettings(widths=(4, 8, 8), local_depth=1)


@pytest.mark.parametrize(
    ("shape", "mm", "axis"),
    [
        ((20, 20, 8), (1.0, 1.0, 3.0), 2),  # the thickest voxels
        ((8, 20, 20), (3.0, 1.0, 1.0), 0),
        ((35, 50, 36), (1.0, 1.0, 1.0), 1),  # else the longest side
        ((20, 30, 10), (1.0, 1.0, 1.2), 1),
        ((10, 10, 10), (1.0, 1.0, 1.0), 2),
    ],
)
def test_the_slice_axis_is_found(shape, mm, axis, write_nifti, tmp_path):
    cases = boxes(write_nifti, tmp_path, (shape, mm), (shape, mm))
    assert filled(OPEN, cases).slice_axis == axis
    other = OPEN.model_copy(update={"slice_axis": (axis + 1) % 3})
    assert filled(other, cases).slice_axis == (axis + 1) % 3


def test_spacing_is_the_median_and_a_slice_holds_the_largest(write_nifti, tmp_path):
    cases = boxes(
        write_nifti, tmp_path,
        ((9, 40, 11), (1.0, 9.0, 3.0)), ((9, 4, 11), (2.0, 9.0, 5.0)), ((6, 4, 9), (7.0, 9.0, 4.0)),
    )  # fmt: skip
    made = filled(OPEN, cases)
    assert (made.slice_axis, made.spacing) == (1, (2, 4))
    assert made.size == (22, 14)  # 21 and 14 voxels, to multiples of 2
    assert made.widths == OPEN.widths
    assert Preparation.of(made) == Preparation(1, (2, 4), None, (22, 14), OPEN.percentiles)
    told = OPEN.model_copy(update={"spacing": (0.5, 0.25), "size": (8, 4)})
    assert filled(told, cases).spacing == (0.5, 0.25)
    assert filled(told, cases).size == (8, 4)


def test_a_slice_is_not_larger_than_the_papers(write_nifti, tmp_path):
    cases = boxes(write_nifti, tmp_path, ((400, 20, 5), (1.0, 1.0, 9.0)))
    assert filled(OPEN, cases).size == (192, 20)


def test_settings_that_leave_the_geometry_open():
    with pytest.raises(ValueError, match="slice_axis None, spacing None, size None; expected"):
        Preparation.of(OPEN)
    with pytest.raises(ValueError, match="no size"):
        _ = OPEN.image_shape


@pytest.mark.parametrize(
    "wrong", [{"spacing": (0.0, 1.0)}, {"thickness": -1.0}, {"percentiles": (50.0, 50.0)}]
)
def test_settings_that_make_no_sense(wrong):
    whole = MedicalSettings(slice_axis=2, spacing=(1.0, 1.0), size=(64, 64))
    settings = whole.model_copy(update=wrong)
    with pytest.raises(UserError, match="expected"):
        Preparation.of(settings)


# Parts


def graded(count, seed=0, slices=12):
    """Volumes in which a bright spot wanders along the slice axis, with noise."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        image = rng.normal(scale=0.2, size=(1, slices, 16, 16)).astype(np.float32)
        for s in range(slices):
            image[0, s, s : s + 4, 4:8] += 1
        made.append(image)
    return made


def test_parts_that_differ():
    images = graded(6)
    rng = np.random.default_rng(1)
    shuffled = [image[:, rng.permutation(image.shape[1])] for image in images]
    assert part_contrast(images, 4) > 0.5
    assert warn_if_parts_alike(images, 4) is None
    assert abs(part_contrast(shuffled, 4)) < 0.04
    text = warn_if_parts_alike(shuffled, 4)
    assert "look alike" in text
    assert "\n" not in text


def test_few_volumes_do_not_look_in_order_by_chance():
    rng = np.random.default_rng(2)
    found = [
        part_contrast([i[:, rng.permutation(12)] for i in graded(3, seed=seed)], 4)
        for seed in range(20)
    ]
    assert abs(np.mean(found)) < 0.03


def test_parts_that_cannot_be_compared():
    assert np.isnan(part_contrast(graded(1), 4))
    assert warn_if_parts_alike(graded(1), 4) is None
    assert np.isnan(part_contrast(graded(3, slices=3), 4))
    assert part_contrast([np.ones((1, 8, 16, 16), np.float32)] * 3, 4) == 0


def test_brightness_of_a_volume_does_not_count():
    dark = [image + n for n, image in enumerate(graded(6))]
    assert part_contrast(dark, 4) == pytest.approx(part_contrast(graded(6), 4), rel=1e-4)


# Cache


@pytest.fixture
def cases(tmp_path, write_nifti):
    rng = np.random.default_rng(0)
    made = []
    for name in "ab":
        image = write_nifti(tmp_path / f"images/{name}.nii.gz", rng.normal(size=(10, 12, 4)))
        voxels = rng.integers(0, 3, (10, 12, 4)).astype(np.uint8)
        label = write_nifti(tmp_path / f"labels/{name}.nii.gz", voxels) if name == "a" else None
        made.append(Case(name, name, (image,), label))
    return made


def equal(one, other):
    if one.mask is not None or other.mask is not None:
        np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.image, other.image)
    return (one.name, one.subject) == (other.name, other.subject)


def forbid_reading(monkeypatch):
    def never(*_):
        raise AssertionError("a volume was read")

    monkeypatch.setattr("nearfar_medical.cache.read_volume", never)


def test_cache_is_used(tmp_path, cases, monkeypatch):
    made = preparation()
    folder = tmp_path / "cache" / "deep"
    fresh = prepare_cases(cases, made, CLASSES, None)
    first = prepare_cases(cases, made, CLASSES, folder)
    forbid_reading(monkeypatch)
    again = prepare_cases(cases, made, CLASSES, folder)
    for a, b, c in zip(fresh, first, again, strict=True):
        assert equal(a.frame, b.frame)
        assert equal(a.frame, c.frame)
        assert a.placement == b.placement == c.placement
        assert c.grid.shape == a.grid.shape == (10, 12, 4)
    assert again[0].frame.mask is not None
    assert again[1].frame.mask is None
    assert equal(prepared(cases, made, CLASSES, folder)[0], first[0].frame)
    assert {p.suffix for p in folder.iterdir()} == {".safetensors"}


def test_cache_knows_what_matters(tmp_path, cases, write_nifti, monkeypatch):
    folder = tmp_path / "cache"
    a = cases[0]

    def count():
        return len(list(folder.iterdir()))

    prepare_case(a, preparation(), CLASSES, folder)
    for number, change in enumerate(
        ({"size": (8, 8)}, {"slice_axis": 0}, {"spacing": (2.0, 1.0)}, {"thickness": 2.0},
         {"percentiles": (0.0, 99.0)})
    ):  # fmt: skip
        prepare_case(a, preparation(**change), CLASSES, folder)
        assert count() == number + 2
    # Another mask, of another size or of another time.
    before = count()
    os.utime(a.label, ns=(1, 1))
    prepare_case(a, preparation(), CLASSES, folder)
    write_nifti(a.label, np.zeros((10, 12, 4), np.uint8))
    os.utime(a.label, ns=(1, 1))
    assert not prepare_case(a, preparation(), CLASSES, folder).frame.mask.any()
    assert count() == before + 2
    # Classes decide on what a mask may hold, so a cached one must not hide a fault.
    write_nifti(a.label, np.full((10, 12, 4), 2, np.uint8))
    prepare_case(a, preparation(), CLASSES, folder)
    with pytest.raises(UserError, match="holds 2"):
        prepare_case(a, preparation(), {0: "background", 1: "x"}, folder)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other"])
def test_damaged_cache_is_made_again(tmp_path, cases, damage):
    made, folder = preparation(), tmp_path / "cache"
    first = prepare_case(cases[0], made, CLASSES, folder)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "bit":
        content[-5] ^= 64
    file.write_bytes(
        {"cut": content[:-9], "bit": content, "empty": b"", "other": b"\x80\x04cos\n"}[damage]
    )
    again = prepare_case(cases[0], made, CLASSES, folder)
    assert equal(first.frame, again.frame)
    assert again.placement == first.placement
    assert len(list(folder.iterdir())) == 1
    assert len(file.read_bytes()) == len(content)


def test_killed_halfway_leaves_nothing(tmp_path, cases, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    folder = tmp_path / "cache"
    monkeypatch.setattr("pathlib.Path.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare_case(cases[0], preparation(), CLASSES, folder)
    assert list(folder.iterdir()) == []


def test_cache_that_cannot_be_made(tmp_path, cases):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/cache"):
        prepare_case(cases[0], preparation(), CLASSES, tmp_path / "file" / "cache")


def test_missing_file_with_a_cache(tmp_path, cases):
    cases[0].images[0].unlink()
    with pytest.raises(UserError, match=r"a\.nii\.gz: no such file"):
        prepare_case(cases[0], preparation(), CLASSES, tmp_path / "cache")


# The real data


@pytest.mark.data
def test_hippocampus(real):
    dataset = find_cases(real("msd_hippocampus"))
    cases = dataset.cases[::10]
    made = Preparation.of(filled(MedicalSettings(), dataset.cases))
    assert (made.slice_axis, made.spacing, made.size) == (1, (1, 1), (48, 48))
    classes = classes_in(cases)
    found = prepare_cases(cases, made, classes, None)
    for case, one in zip(cases, found, strict=True):
        assert one.frame.image.shape[2:] == made.size
        back = made.undo(one_hot(one.frame.mask), one.placement)
        np.testing.assert_array_equal(back, read_mask(case.label, one.grid, classes))
    images = [one.frame.image for one in found]
    assert part_contrast(images, 4) > 0.3
    assert warn_if_parts_alike(images, 4) is None
    rng = np.random.default_rng(0)
    shuffled = [image[:, rng.permutation(image.shape[1])] for image in images]
    assert "look alike" in warn_if_parts_alike(shuffled, 4)


@pytest.mark.data
def test_spinal_cord(real):
    """Sites of other spacing, so that masks must be resampled, there and back."""
    dataset = find_cases(real("spinalcord_gm_challenge_bids"), label_suffix="seg")
    settings = MedicalSettings(slice_axis=2, size=(192, 192), spacing=(0.5, 0.5))
    made = Preparation.of(settings)
    for case in dataset.labelled[::2]:
        one = prepare_case(case, made, {0: "background", 1: "cord"}, None)
        truth = read_mask(case.label, one.grid, {})
        back = made.undo(one_hot(one.frame.mask, 2), one.placement)
        (score,) = score_case(
            case.name, case.subject, back, truth, one.grid.spacing, {0: "", 1: "cord"}
        )
        assert score.dice > 0.98
        assert score.hd95 < 0.5
