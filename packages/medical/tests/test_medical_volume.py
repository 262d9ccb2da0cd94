"""Volumes: any orientation read into RAS and written back on the same voxels; faults, one line."""

from __future__ import annotations

import gzip
import itertools
import struct

import nibabel as nib
import numpy as np
import pytest

from nearfar_kit.errors import UserError
from nearfar_medical.cases import Case, find_cases
from nearfar_medical.volume import (
    classes_in,
    read_grid,
    read_mask,
    read_volume,
    write_mask,
)

SPACING = (0.75, 2.0, 5.0)
# Every way that a file's axes can run: order and sign.
AXES = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def turned(degrees=(0, 0, 0), shear=0.0):
    """A rotation's affine near RAS, with ``SPACING`` and an origin away from 0."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[[a, b], [a, b]] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix[0, 1] += shear
    affine = np.eye(4)
    affine[:3, :3] = matrix * SPACING
    affine[:3, 3] = (-31.5, 17.25, 4.0)
    return affine


def as_file(ras, affine, order, signs):
    """Voxels and affine of a file whose axis i runs along axis order[i] of RAS, forth or back."""
    voxels, own = ras.transpose(order), affine.copy()
    own[:3, :3] = affine[:3, :3][:, order]
    for axis, sign in enumerate(signs):
        if sign < 0:
            voxels = np.flip(voxels, axis)
            own[:3, 3] += own[:3, axis] * (voxels.shape[axis] - 1)
            own[:3, axis] *= -1
    return np.ascontiguousarray(voxels), own


def case(*images, label=None):
    return Case("a", "a", tuple(images), label)


def one_line(*words):
    """Matches a message of one line with these words in order."""
    return r"\A[^\n]*" + r"[^\n]*".join(words) + r"[^\n]*\Z"


@pytest.mark.parametrize(("order", "signs"), AXES)
@pytest.mark.parametrize("grid", ["straight", "oblique", "sheared"])
def test_any_orientation(tmp_path, write_nifti, order, signs, grid):
    affine = {
        "straight": turned(), "oblique": turned((12, -9, 20)), "sheared": turned((4, 7, -3), 0.1)
    }[grid]  # fmt: skip
    ras = np.arange(120, dtype=np.float32).reshape(6, 5, 4)
    mask = np.random.default_rng(1).integers(0, 3, ras.shape).astype(np.uint8)
    voxels, own = as_file(ras, affine, order, signs)
    in_file, _ = as_file(mask, affine, order, signs)
    # A qform cannot shear; the file then has a sform alone.
    codes = {"sform": 2, "qform": 0 if grid == "sheared" else 1}
    image = write_nifti(tmp_path / "image.nii.gz", voxels, own, **codes)
    label = write_nifti(tmp_path / "label.nii.gz", in_file, own, **codes)

    volume, found = read_volume(case(image, label=label))
    np.testing.assert_array_equal(volume.image, ras[None])
    np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
    expected = np.sqrt((affine[:3, :3] ** 2).sum(0))
    np.testing.assert_allclose(volume.spacing, expected, rtol=1e-5)
    np.testing.assert_array_equal(read_mask(label, found, {}), mask)

    # A prediction lands on the input's voxels, whatever reads it.
    write_mask(tmp_path / "out.nii.gz", mask, found)
    before, after = nib.load(image), nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(after.dataobj), in_file)
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(after.get_sform(), before.get_sform())
    np.testing.assert_array_equal(after.get_qform(), before.get_qform())
    assert after.get_data_dtype() == np.uint8
    for field in ("sform_code", "qform_code", "xyzt_units"):
        assert after.header[field] == before.header[field]
    np.testing.assert_array_equal(after.header["pixdim"][:4], before.header["pixdim"][:4])


@pytest.mark.parametrize("codes", [(0, 0), (0, 1), (1, 0), (3, 4)])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_codes_are_kept(tmp_path, write_nifti, blank, codes, kind, ending):
    voxels, own = as_file(blank, turned((3, 0, 8)), (1, 0, 2), (-1, 1, -1))
    sform, qform = codes
    path = write_nifti(tmp_path / f"a{ending}", voxels, own, sform=sform, qform=qform, kind=kind)
    volume, grid = read_volume(case(path))
    write_mask(tmp_path / f"out{ending}", (volume.image[0] > 0).astype(np.uint8), grid)
    after = nib.load(tmp_path / f"out{ending}")
    np.testing.assert_array_equal(after.affine, nib.load(path).affine)
    assert (after.header["sform_code"], after.header["qform_code"]) == codes
    assert type(after) is kind
    np.testing.assert_array_equal(np.asarray(after.dataobj), voxels > 0)
    packed = (tmp_path / f"out{ending}").read_bytes()[:2] == b"\x1f\x8b"
    assert packed == (ending == ".nii.gz")


def test_forms_that_differ_are_both_kept(tmp_path, blank):
    image = nib.Nifti1Image(blank, None)
    image.set_sform(turned((5, 0, 0)), 2)
    image.set_qform(turned(), 1)
    nib.save(image, tmp_path / "a.nii")
    _, grid = read_volume(case(tmp_path / "a.nii"))
    write_mask(tmp_path / "out.nii", np.zeros(grid.ras_shape, np.uint8), grid)
    after = nib.load(tmp_path / "out.nii")
    np.testing.assert_allclose(after.get_sform(), turned((5, 0, 0)), atol=1e-5)
    np.testing.assert_allclose(after.get_qform(), turned(), atol=1e-5)


def test_no_words_of_the_input_are_written(tmp_path, blank):
    image = nib.Nifti1Image(blank, np.eye(4))
    image.header["descrip"] = b"DOE^JANE"
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"DOE^JANE"))
    nib.save(image, tmp_path / "a.nii")
    write_mask(tmp_path / "out.nii", np.ones((6, 5, 4), np.uint8), read_grid(tmp_path / "a.nii"))
    assert b"DOE" in (tmp_path / "a.nii").read_bytes()
    assert b"DOE" not in (tmp_path / "out.nii").read_bytes()


def test_the_same_mask_gives_the_same_bytes(tmp_path, write_nifti, blank):
    grid = read_grid(write_nifti(tmp_path / "a.nii", blank))
    for name in ("x.nii.gz", "y.nii.gz"):
        write_mask(tmp_path / name, np.ones((6, 5, 4), np.uint8), grid)
    x, y = ((tmp_path / name).read_bytes() for name in ("x.nii.gz", "y.nii.gz"))
    assert x == y
    assert x[4:8] == bytes(4)  # the time, of gzip's header


def test_channels(tmp_path, write_nifti, blank):
    single = [write_nifti(tmp_path / f"c{n}.nii.gz", blank + n) for n in range(2)]
    both = write_nifti(tmp_path / "both.nii.gz", np.stack([blank, blank + 1], -1))
    vector = write_nifti(tmp_path / "itk.nii.gz", np.stack([blank, blank + 1], -1)[..., None, :])
    by_file, _ = read_volume(case(*single))
    assert by_file.image.shape == (2, 6, 5, 4)
    for path in (both, vector):
        volume, grid = read_volume(case(path))
        np.testing.assert_array_equal(volume.image, by_file.image)
        assert grid.shape == (6, 5, 4)
    one = write_nifti(tmp_path / "one.nii.gz", blank[..., None])
    assert read_volume(case(one))[0].image.shape == (1, 6, 5, 4)


def test_units(tmp_path, write_nifti, blank):
    affine = np.diag([0.5, 0.5, 2, 1])
    for units, mm in (("mm", 0.5), ("unknown", 0.5), ("micron", 0.0005), ("meter", 500)):
        path = write_nifti(tmp_path / f"{units}.nii", blank, affine, units=units)
        assert read_grid(path).spacing == pytest.approx((mm, mm, 4 * mm))


def test_scaled_integers(tmp_path):
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii.gz")
    volume, _ = read_volume(case(tmp_path / "a.nii.gz"))
    assert volume.image.dtype == np.float32
    np.testing.assert_allclose(
        volume.image[0], np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj), rtol=1e-6
    )


# Faults of images.


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=one_line("a.nii.gz", "no such file", "expected")):
        read_volume(case(tmp_path / "a.nii.gz"))


# gzip writes the time, and a test is named after its bytes: mtime=0 names it alike in every worker
PACKED = gzip.compress(b"short", mtime=0)


@pytest.mark.parametrize("content", [b"", b"not a volume", b"\x1f\x8bno", PACKED])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_no_nifti(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=one_line(name, "no NIfTI file")):
        read_volume(case(tmp_path / name))


def test_another_format(tmp_path, blank):
    nib.save(nib.MGHImage(blank, np.eye(4)), tmp_path / "a.mgz")
    with pytest.raises(UserError, match=one_line("a.mgz", "expected a NIfTI file")):
        read_volume(case(tmp_path / "a.mgz"))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_cut_short(tmp_path, write_nifti, name):
    noise = np.random.default_rng(0).normal(size=(20, 20, 20))
    path = write_nifti(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=one_line(name, "cut short")):
        read_volume(case(path))


def test_one_bit_is_wrong(tmp_path):
    """Stored, not deflated: only the checksum at the end can tell."""
    content = nib.Nifti1Image(np.zeros((90, 90, 90), np.uint8), np.eye(4)).to_bytes()
    packed = bytearray(gzip.compress(content, 0))
    packed[-20] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(packed)
    with pytest.raises(UserError, match=one_line("a.nii.gz", "damaged")):
        read_volume(case(tmp_path / "a.nii.gz"))


def test_a_header_that_asks_for_more_than_there_is(tmp_path, write_nifti, blank):
    """A few bytes must not make us take terabytes of memory."""
    content = bytearray(gzip.decompress(write_nifti(tmp_path / "a.nii.gz", blank).read_bytes()))
    content[42:48] = struct.pack("<3h", 30000, 30000, 30000)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=one_line("a.nii.gz", "cut short")):
        read_volume(case(tmp_path / "a.nii.gz"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers(tmp_path, write_nifti, blank, bad):
    blank[0, 0, :3] = bad
    count = "3 voxels are NaN and 0" if np.isnan(bad) else "0 voxels are NaN and 3"
    path = write_nifti(tmp_path / "a.nii.gz", blank)
    with pytest.raises(UserError, match=one_line("a.nii.gz", count, "of 120")):
        read_volume(case(path))


def test_empty(tmp_path, blank, write_nifti):
    content = bytearray(write_nifti(tmp_path / "a.nii", blank).read_bytes())
    content[42:44] = struct.pack("<h", 0)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(UserError, match=one_line("a.nii", "is empty", "0x5x4")):
        read_volume(case(tmp_path / "a.nii"))


@pytest.mark.parametrize("side", [-1, -32768])
def test_less_than_empty(tmp_path, blank, write_nifti, side):
    path = write_nifti(tmp_path / "a.nii.gz", blank)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[42:44] = struct.pack("<h", side)
    path.write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=one_line("a.nii.gz", "is empty", f"{side}x5x4")):
        read_volume(case(path))


@pytest.mark.parametrize("at", [-1, -(2**62), 2**62])
def test_voxels_that_begin_nowhere(tmp_path, blank, write_nifti, at):
    path = write_nifti(tmp_path / "a.nii.gz", blank, kind=nib.Nifti2Image)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[168:176] = struct.pack("<q", at)
    path.write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=one_line("a.nii.gz")):
        read_volume(case(path))


def test_flat_or_too_deep(tmp_path, write_nifti, blank):
    with pytest.raises(UserError, match=one_line("2d.nii", "6x5", "3 axes")):
        read_volume(case(write_nifti(tmp_path / "2d.nii", blank[..., 0])))
    deep = np.zeros((3, 3, 3, 2, 2), np.float32)
    with pytest.raises(UserError, match=one_line("5d.nii", "3x3x3x2x2")):
        read_volume(case(write_nifti(tmp_path / "5d.nii", deep)))


@pytest.mark.parametrize("kind", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_voxels_of_several_numbers(tmp_path, kind):
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), dtype=kind), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(UserError, match=one_line("a.nii", "one number each")):
        read_volume(case(tmp_path / "a.nii"))


@pytest.mark.parametrize("row", [(0, 0, 0, 0), (np.nan, 0, 0, 0), (1, 1e20, 0, 0)])
def test_affine_without_volume(tmp_path, write_nifti, blank, row):
    path = write_nifti(tmp_path / "a.nii", blank, qform=0)
    content = bytearray(path.read_bytes())
    content[280:296] = struct.pack("<4f", *row)  # srow_x
    path.write_bytes(content)
    with pytest.raises(UserError, match=one_line("a.nii", "affine")):
        read_volume(case(path))


def test_channels_of_several_volumes(tmp_path, write_nifti, blank):
    both = write_nifti(tmp_path / "both.nii.gz", np.stack([blank, blank], -1))
    one = write_nifti(tmp_path / "one.nii.gz", blank)
    (tmp_path / "itk").mkdir()
    itk = write_nifti(tmp_path / "itk/both.nii.gz", np.stack([blank, blank], -1)[..., None, :])
    for images in ((both, one), (one, both), (one, itk)):
        with pytest.raises(UserError, match=one_line("both.nii.gz", "holds 2 volumes", "2 files")):
            read_volume(case(*images))


def test_channels_on_different_grids(tmp_path, write_nifti, blank):
    first = write_nifti(tmp_path / "first.nii", blank)
    smaller = write_nifti(tmp_path / "smaller.nii", blank[:5])
    with pytest.raises(UserError, match=one_line("smaller.nii", "5x5x4", "first.nii", "6x5x4")):
        read_volume(case(first, smaller))
    moved = write_nifti(tmp_path / "moved.nii", blank, turned())
    with pytest.raises(UserError, match=one_line("moved.nii", "affine", "first.nii")):
        read_volume(case(first, moved))


# Faults of masks.


@pytest.fixture
def grid(tmp_path, write_nifti, blank):
    return read_grid(write_nifti(tmp_path / "image.nii.gz", blank, turned()))


@pytest.fixture
def mask(tmp_path, write_nifti):
    def written(voxels, affine=None):
        return write_nifti(tmp_path / "mask.nii.gz", voxels, turned() if affine is None else affine)

    return written


def test_mask_of_another_shape(grid, mask):
    path = mask(np.zeros((6, 5, 3), np.uint8))
    with pytest.raises(UserError, match=one_line("mask.nii.gz", "6x5x3", "image.nii.gz", "6x5x4")):
        read_mask(path, grid, {})


def test_mask_of_another_affine(grid, mask):
    ras = np.zeros((6, 5, 4), np.uint8)
    affine = turned()
    affine[0, 3] += 0.9e-3
    assert read_mask(mask(ras, affine), grid, {}).shape == (6, 5, 4)
    affine[0, 3] += 0.2e-3
    with pytest.raises(UserError, match=one_line("mask.nii.gz", "affine", r"0\.0011")):
        read_mask(mask(ras, affine), grid, {})
    # Left and right exchanged in the header alone.
    affine = turned()
    affine[0, 0] *= -1
    with pytest.raises(UserError, match=one_line("mask.nii.gz", "LAS and RAS")):
        read_mask(mask(ras, affine), grid, {})


def test_mask_with_other_axes_on_the_same_places(grid, mask):
    ras = np.random.default_rng(0).integers(0, 2, (6, 5, 4)).astype(np.uint8)
    path = mask(*as_file(ras, turned(), (2, 0, 1), (-1, 1, -1)))
    np.testing.assert_array_equal(read_mask(path, grid, {}), ras)


def test_axes_halfway(tmp_path, write_nifti):
    """At 45 degrees a rounding error decides which axis is which; mask and image turn as one."""
    ras = np.random.default_rng(0).integers(0, 2, (5, 5, 5)).astype(np.uint8)
    found = set()
    for one, other in itertools.permutations((-1e-5, 0, 1e-5), 2):
        affines = [turned((0, 0, 45 + degrees)) for degrees in (one, other)]
        for affine in affines:  # of one size in each direction, or there is no tie
            affine[:3, :3] /= SPACING
        image = write_nifti(tmp_path / "i.nii", ras.astype(np.float32), affines[0], qform=0)
        label = write_nifti(tmp_path / "m.nii", ras, affines[1], qform=0)
        volume, grid = read_volume(case(image))
        found.add((grid.codes, read_grid(label).codes))
        np.testing.assert_array_equal(read_mask(label, grid, {}), volume.image[0])
    assert any(a != b for a, b in found)


def test_mask_values(grid, mask):
    def holding(value, kind=np.float64):
        voxels = np.zeros((6, 5, 4), kind)
        voxels[2, 2, 2] = value
        return mask(voxels)

    classes = {0: "background", 1: "cord"}
    found = read_mask(holding(1.0), grid, classes)
    assert found.dtype == np.uint8
    assert found[2, 2, 2] == found.sum() == 1
    assert read_mask(holding(255), grid, {}).max() == 255
    for value, words in (
        (0.5, (r"0\.5", "whole numbers")),
        (2, ("holds 2", "0 background, 1 cord")),
        (-1, ("holds -1", "0 to 65535")),
        (65536, ("holds 65536", "0 to 65535")),
        (np.nan, ("1 voxels are NaN",)),
    ):
        with pytest.raises(UserError, match=one_line("mask.nii.gz", *words)):
            read_mask(holding(value), grid, classes)
    assert read_mask(holding(300, np.int16), grid, {}).dtype == np.uint16


def test_mask_of_several_volumes(grid, mask):
    for shape in ((6, 5, 4, 2), (6, 5, 4, 1, 2)):
        with pytest.raises(UserError, match=one_line("mask.nii.gz", "2 volumes", "one mask")):
            read_mask(mask(np.zeros(shape, np.uint8)), grid, {})


def test_what_cannot_be_written(tmp_path, grid):
    with pytest.raises(ValueError, match="expected \\(6, 5, 4\\)"):
        write_mask(tmp_path / "out.nii", np.zeros((5, 6, 4), np.uint8), grid)
    with pytest.raises(ValueError, match="0 to 65535"):
        write_mask(tmp_path / "out.nii", np.full((6, 5, 4), 65536), grid)
    with pytest.raises(UserError, match=one_line("out.mgz", "nii.gz")):
        write_mask(tmp_path / "out.mgz", np.zeros((6, 5, 4), np.uint8), grid)
    with pytest.raises(UserError, match=one_line("cannot be written")):
        write_mask(tmp_path / "none" / "out.nii", np.zeros((6, 5, 4), np.uint8), grid)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["image.nii.gz"]


def test_classes_in_masks(tmp_path, write_nifti, blank):
    image = write_nifti(tmp_path / "image.nii", blank)
    masks = []
    for value in (1, 2, 4):
        voxels = np.zeros((6, 5, 4), np.uint8)
        voxels[0, 0, 0] = value
        masks.append(case(image, label=write_nifti(tmp_path / f"{value}.nii", voxels)))
    assert classes_in(masks[:2]) == {0: "background", 1: "class 1", 2: "class 2"}
    assert list(classes_in(masks).items())[-1] == (4, "class 4")
    many = np.arange(300, dtype=np.uint16).repeat(2).reshape(6, 25, 4)
    scan = write_nifti(tmp_path / "scan.nii", many)
    with pytest.raises(UserError, match=one_line("scan.nii", "300 codes", "256", "an image")):
        classes_in([case(scan, label=scan)])
    with pytest.raises(UserError, match="background alone"):
        classes_in([case(image)])


# The real data.


@pytest.mark.data
def test_hippocampus(real):
    dataset = find_cases(real("msd_hippocampus"))
    assert len(dataset.cases) == len(dataset.labelled) == 200
    assert classes_in(dataset.cases[:5]) == {0: "background", 1: "class 1", 2: "class 2"}
    for one in dataset.cases[::10]:
        volume, grid = read_volume(one)
        mask = read_mask(one.label, grid, {0: "", 1: "anterior", 2: "posterior"})
        assert volume.spacing == (1, 1, 1)
        assert mask.shape == volume.image.shape[1:]
        # The anterior part lies before the posterior one.
        where = [np.nonzero(mask == value)[1].mean() for value in (1, 2)]
        assert where[0] > where[1]


@pytest.mark.data
@pytest.mark.parametrize("name", ["spinalcord_gm_challenge_bids", "totalseg_fixture"])
def test_real_files_round_trip(tmp_path, real, name):
    seen = set()
    for one in find_cases(real(name), label_suffix="gmseg" if "bids" in name else None).cases:
        if "run-2" in one.name:
            continue
        volume, grid = read_volume(one)
        seen.add(grid.codes)
        if one.label is None:
            mask = (volume.image[0] > np.median(volume.image)).astype(np.uint8)
        else:
            mask = read_mask(one.label, grid, {0: "background", 1: "grey matter"})
        write_mask(tmp_path / "out.nii", mask, grid)
        before, after = nib.load(one.images[0]), nib.load(tmp_path / "out.nii")
        np.testing.assert_array_equal(after.affine, before.affine)
        for field in ("sform_code", "qform_code"):
            assert after.header[field] == before.header[field]
        if one.label is not None:
            written = np.asarray(after.dataobj)
            np.testing.assert_array_equal(written, np.asarray(nib.load(one.label).dataobj))
    assert seen == ({"LAS", "LPS"} if "bids" in name else {"RAS", "LPS"})
