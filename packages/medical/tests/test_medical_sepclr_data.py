"""Views, readers and toys of SepCLR."""

from __future__ import annotations

import gzip
import io
import tarfile

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from nearfar_kit.errors import UserError
from nearfar_medical.sepclr.images import colours, flipped, intensity, resized_crop, two_views
from nearfar_medical.sepclr.pairs import Pairs, pairs_from_csv, pairs_from_folders, read_image
from nearfar_medical.sepclr.settings import SepCLRSettings
from nearfar_medical.sepclr.toy import (
    digits_on_photographs,
    implanted_lesions,
    read_cifar,
    read_mnist,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class TestViews:
    @pytest.mark.parametrize("shape", [(300, 1, 24, 24), (40, 2, 8, 12, 12)])
    def test_a_crop_lies_inside(self, shape):
        size = (6,) * (len(shape) - 2)
        y = resized_crop(torch.ones(shape), seeded(), scale=(0.2, 0.5), size=size)
        assert y.shape == (*shape[:2], *size)
        torch.testing.assert_close(y, torch.ones_like(y))

    @pytest.mark.parametrize("dims", [2, 3])
    def test_a_crop_shows_its_share(self, dims):
        # One channel an axis, each a ramp along it: what is seen of each is the side.
        ramps = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, 32)] * dims, indexing="ij"))
        y = resized_crop(ramps.expand(100, *ramps.shape), seeded(), scale=(0.3, 0.3))
        seen = [y[:, k].flatten(1) for k in range(dims)]
        sides = torch.stack([ramp.amax(1) - ramp.amin(1) for ramp in seen], 1)
        assert (sides.prod(1) - 0.3).abs().max() < 0.03
        ratio = sides[:, 0] / sides[:, 1]
        assert 0.7 < ratio.min() < 0.85
        assert 1.2 < ratio.max() < 1.45

    def test_flips_are_of_chance_for_each(self):
        x = torch.arange(6.0).view(1, 1, 2, 3).expand(200, 1, 2, 3)
        y = flipped(x, seeded(), (-1,))
        turned = (y == x.flip(-1)).flatten(1).all(1)
        assert ((y == x).flatten(1).all(1) ^ turned).all()
        assert 70 < int(turned.sum()) < 130
        assert torch.equal(flipped(x, seeded(), ()), x)

    def test_colours_without_jitter_are_as_they_were(self):
        x = torch.rand(8, 3, 5, 5, generator=seeded(1))
        y = colours(x, seeded(), jitter=(0, 0, 0, 0), chance=1.0, grey_chance=0.0)
        torch.testing.assert_close(y, x)
        torch.testing.assert_close(colours(x, seeded(), chance=0.0, grey_chance=0.0), x)

    def test_grey_is_that_of_pillow(self):
        x = torch.rand(4, 3, 5, 5, generator=seeded(1))
        y = colours(x, seeded(), chance=0.0, grey_chance=1.0)
        picture = Image.fromarray((x[0].permute(1, 2, 0) * 255).round().byte().numpy())
        want = torch.from_numpy(np.array(picture.convert("L"))) / 255
        assert (y[0] - want).abs().max() < 0.01
        assert torch.equal(y[:, 0], y[:, 2])

    def test_each_image_has_colours_of_its_own(self):
        x = (torch.rand(1, 3, 8, 8, generator=seeded(1)) * 0.4 + 0.3).expand(32, 3, 8, 8)
        y = colours(x, seeded(), chance=1.0, grey_chance=0.0)
        assert len({round(float(v), 5) for v in y.mean((1, 2, 3))}) == 32
        assert y.min() >= 0
        assert y.max() <= 1
        # A turn of hue alone keeps grey pixels grey, and moves colours.
        y = colours(x, seeded(), jitter=(0, 0, 0, 0.1), chance=1.0, grey_chance=0.0)
        assert (y - x).abs().mean() > 0.005
        grey = x[:, :1].expand(-1, 3, -1, -1)
        torch.testing.assert_close(colours(grey, seeded(), jitter=(0, 0, 0, 0.1), chance=1.0), grey)

    def test_intensity_keeps_the_shape_of_a_volume(self):
        x = torch.rand(1, 1, 4, 4, 4, generator=seeded(1)).expand(16, 1, 4, 4, 4)
        y = intensity(x, seeded(), chance=1.0).flatten(1)
        assert all(torch.corrcoef(torch.stack([v, x[0].flatten()]))[0, 1] > 0.999 for v in y)
        assert y.mean(1).std() > 0.05
        assert torch.equal(intensity(x, seeded(), chance=0.0), x)

    @pytest.mark.parametrize(("dims", "channels"), [(2, 3), (2, 1), (3, 1)])
    def test_the_same_seed_gives_the_same_views(self, dims, channels):
        settings = SepCLRSettings(dims=dims, channels=channels, view_size=(6,) * dims)
        x = torch.rand(4, channels, *(8,) * dims, generator=seeded(1))
        a, b = two_views(x, settings, seeded())
        assert a.shape == (4, channels, *(6,) * dims)
        assert not torch.equal(a, b)
        assert all(map(torch.equal, (a, b), two_views(x, settings, seeded())))


def write_picture(path, mode="RGB", size=(6, 5), value=128):
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "I;16") else (value,) * len(mode)).save(path)


def write_volume(path, shape=(5, 6, 7), affine=None, seed=0):
    path.parent.mkdir(exist_ok=True)
    values = np.random.default_rng(seed).random(shape).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return values


@pytest.fixture
def folders(tmp_path):
    for kind in ("bg", "tg"):
        for n in range(3):
            write_picture(tmp_path / kind / f"{n}.png", value=40 * (n + 1))
    return tmp_path / "bg", tmp_path / "tg"


def fails(message, call, *args, **kwargs):
    with pytest.raises(UserError, match=message) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)


class TestFolders:
    def test_pictures(self, folders):
        write_picture(folders[1] / "3.jpg", mode="L", value=255)
        pairs = pairs_from_folders(*folders)
        assert pairs.images.shape == (7, 3, 5, 6)
        assert pairs.is_target.tolist() == [False] * 3 + [True] * 4
        assert pairs.images[1, 0, 0, 0] == pytest.approx(80 / 255)
        assert pairs.sources[-1].endswith("3.jpg")

    def test_sixteen_bits_keep_their_depth(self, tmp_path):
        write_picture(tmp_path / "a.png", mode="I;16", value=30000)
        assert float(read_image(tmp_path / "a.png").max()) == pytest.approx(30000 / 65535)

    def test_volumes_are_turned_and_scaled(self, tmp_path):
        values = write_volume(tmp_path / "bg" / "a.nii.gz", affine=np.diag([-1.0, 1, 2, 1]))
        write_volume(tmp_path / "tg" / "b.nii", seed=1)
        pairs = pairs_from_folders(tmp_path / "bg", tmp_path / "tg")
        assert pairs.images.shape == (2, 1, 5, 6, 7)
        low, high = np.percentile(values, [1, 99])
        want = (values[::-1] - low) / (high - low)
        np.testing.assert_allclose(pairs.images[0, 0], want, atol=1e-5)

    @pytest.mark.parametrize("kind", ["picture", "volume"])
    def test_sizes_must_agree_or_be_given(self, tmp_path, kind):
        size = (4, 4) if kind == "picture" else (4, 4, 4)
        if kind == "picture":
            write_picture(tmp_path / "bg" / "a.png")
            write_picture(tmp_path / "tg" / "b.png", size=(9, 9))
        else:
            write_volume(tmp_path / "bg" / "a.nii")
            write_volume(tmp_path / "tg" / "b.nii", shape=(9, 9, 9))
        call = (pairs_from_folders, tmp_path / "bg", tmp_path / "tg")
        fails(r"b\.\w+: is 9 x 9.*, or --set image_size=\[[0-9,]+\], which", *call)
        assert pairs_from_folders(*call[1:], size=size).images.shape[2:] == size
        fails("axes; size", *call, size=(4,))

    def test_mistakes_are_told(self, folders, tmp_path):
        fails("nowhere: no such folder", pairs_from_folders, tmp_path / "nowhere", folders[1])
        (tmp_path / "empty").mkdir()
        fails(r"empty: holds no image", pairs_from_folders, folders[0], tmp_path / "empty")
        write_volume(folders[1] / "9.nii")
        fails(r"9\.nii: pictures and volumes are mixed", pairs_from_folders, *folders)

    @pytest.mark.parametrize("name", ["9.png", "9.jpg", "9.nii", "9.nii.gz"])
    @pytest.mark.parametrize("content", [b"", b"no image at all" * 40])
    def test_a_broken_file_is_named(self, folders, name, content):
        (folders[1] / name).write_bytes(content)
        fails(f"{name}: cannot be read as", pairs_from_folders, *folders)

    def test_a_cut_file_is_named(self, folders):
        whole = (folders[0] / "0.png").read_bytes()
        (folders[1] / "9.png").write_bytes(whole[: len(whole) // 2])
        fails("9.png: cannot be read as", pairs_from_folders, *folders)

    def test_a_damaged_archive_is_named(self, folders):
        write_volume(folders[1] / "9.nii.gz", shape=(20, 20, 20))
        whole = bytearray((folders[1] / "9.nii.gz").read_bytes())
        for name, content in (("8", whole[:-900]), ("9", whole[:400] + b"xyz" * 40 + whole[520:])):
            (folders[1] / f"{name}.nii.gz").write_bytes(content)
            fails(rf"{name}.nii.gz: cannot be read as NIfTI", read_image,
                  folders[1] / f"{name}.nii.gz")  # fmt: skip

    def test_volumes_without_an_image_in_them(self, tmp_path):
        affine = np.eye(4)
        for name, values, message in (
            ("nan", np.full((4, 4, 4), np.nan, np.float32), "NaN"),
            ("flat", np.zeros((4, 4, 4), np.float32), "nearly everywhere"),
            ("time", np.zeros((4, 4, 4, 2), np.float32), "three axes"),
        ):
            nib.save(nib.Nifti1Image(values, affine), tmp_path / f"{name}.nii")
            fails(f"{name}.nii: .*{message}", read_image, tmp_path / f"{name}.nii")


class TestTables:
    def write(self, path, text):
        path.write_text(text, encoding="utf-8")
        return path

    def test_attributes_come_along(self, folders, tmp_path):
        bg = self.write(tmp_path / "bg.csv", "path,site\nbg/0.png,a\nbg/1.png,b\n")
        tg = self.write(
            tmp_path / "tg.csv", f"site,path,size\nb,tg/0.png,2.5\na,{folders[1] / '1.png'},\n"
        )
        pairs = pairs_from_csv(bg, tg, classes=["site"], measures=["size"])
        assert pairs.attributes["site"].tolist() == ["a", "b", "b", "a"]
        np.testing.assert_array_equal(pairs.attributes["size"], [np.nan, np.nan, 2.5, np.nan])
        assert pairs.is_target.tolist() == [False, False, True, True]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("path\ntg/0.png\ntg/7.png\n", r"tg.csv, row 2: tg/7.png does not exist"),
            ("path\ntg.csv\n", r"row 1: tg.csv is no image"),
            ("path,site\n,a\n", r"row 1: path is empty"),
            ("file\ntg/0.png\n", r"tg.csv: columns are file; expected a column path"),
            ("path\n", r"tg.csv: has no rows"),
            ("", r"tg.csv: is empty; expected a header"),
            ("path,size\ntg/0.png,big\n", r"row 1: tg/0.png: size is 'big'; expected a number"),
            ("path,size\ntg/bad.png,1\n", r"row 1: tg/bad.png: cannot be read"),
            ("path\ntg/0.png\n", r"neither has a column size"),
        ],
    )
    def test_mistakes_are_told(self, folders, tmp_path, text, message):
        (folders[1] / "bad.png").write_bytes(b"bad")
        bg = self.write(tmp_path / "bg.csv", "path\nbg/0.png\n")
        tg = self.write(tmp_path / "tg.csv", text)
        fails(message, pairs_from_csv, bg, tg, measures=["size"])

    def test_a_table_that_is_none(self, folders, tmp_path):
        bg = self.write(tmp_path / "bg.csv", "path\nbg/0.png\n")
        fails("no.csv: no such file", pairs_from_csv, bg, tmp_path / "no.csv")
        (tmp_path / "b.csv").write_bytes(b"path\n\xff\xfe\n")
        fails("b.csv: cannot be read as csv .not UTF-8", pairs_from_csv, bg, tmp_path / "b.csv")


def test_pairs_of_one_kind_are_refused():
    x = torch.zeros(3, 1, 4, 4)
    fails("all 3 images are target", Pairs, x, torch.ones(3, dtype=torch.bool))
    fails("all 3 images are background", Pairs, x, torch.zeros(3, dtype=torch.bool))
    both = torch.tensor([True, False, True])
    fails("expected float32", Pairs, x.double(), both)
    fails(r"expected bool \[3\]", Pairs, x, both[:2])
    fails("attribute a is int", Pairs, x, both, {"a": np.arange(3)})


@pytest.fixture
def toy(tmp_path):
    """Ten photographs a class of two, and twenty digits, in the sets' own formats."""
    rng = np.random.default_rng(0)
    (tmp_path / "mnist").mkdir()
    digits = rng.integers(0, 256, (20, 28, 28), dtype=np.uint8)
    numerals = np.arange(20, dtype=np.uint8) % 10
    np.savez(tmp_path / "mnist" / "mnist_train_10k.npz", x=digits, y=numerals)
    for name, magic, shape, values in (
        ("t10k-images-idx3-ubyte.gz", 2051, (20, 28, 28), digits),
        ("t10k-labels-idx1-ubyte.gz", 2049, (20,), numerals),
    ):
        head = b"".join(n.to_bytes(4, "big") for n in (magic, *shape))
        (tmp_path / "mnist" / name).write_bytes(gzip.compress(head + values.tobytes()))
    (tmp_path / "cifar").mkdir()
    with tarfile.open(tmp_path / "cifar" / "all.tar.gz", "w:gz") as archive:
        for name in ("cat", "ship"):
            for n in range(10):
                buffer = io.BytesIO()
                Image.new("RGB", (32, 32), (200, 20 * n, 50)).save(buffer, "JPEG")
                info = tarfile.TarInfo(f"train/{name}/{n:04}.jpg")
                info.size = buffer.tell()
                buffer.seek(0)
                archive.addfile(info, buffer)
    return tmp_path / "mnist", tmp_path / "cifar"


def _picture(size):
    """A PNG, whatever its name."""
    buffer = io.BytesIO()
    Image.new("1", size).save(buffer, "PNG")
    return buffer.getvalue()


class TestToys:
    def test_digits_lie_on_half_of_the_photographs(self, toy):
        pairs = digits_on_photographs(*toy, "train")
        assert pairs.images.shape == (20, 3, 32, 32)
        digit, kind = pairs.attributes["digit"], pairs.attributes["object"]
        is_target = pairs.is_target.numpy()
        assert is_target.sum() == 10
        assert (kind[is_target] == "cat").sum() == 5  # both halves hold the same objects
        assert (digit[~is_target] == "").all()
        assert (digit[is_target] != "").all()
        assert 0.35 < float(pairs.images[~pairs.is_target][:, 0].mean()) < 0.45  # 200 / 255 / 2
        digits, numerals = read_mnist(toy[0], "train")
        first = np.flatnonzero(is_target)[0]
        bright = (pairs.images[first] - pairs.images[first][:, :1, :1]).mean(0)[2:30, 2:30]
        match = [np.corrcoef(bright.flatten(), d.flatten())[0, 1] for d in digits]
        assert max(match) > 0.99
        assert str(numerals[int(np.argmax(match))]) == digit[first]
        assert torch.equal(digits_on_photographs(*toy, "train").images, pairs.images)

    def test_what_is_missing_is_told(self, toy, tmp_path):
        digits, numerals = read_mnist(toy[0], "test")
        assert digits.shape == (20, 28, 28)
        assert numerals[:3].tolist() == [0, 1, 2]
        fails("no picture under test/", digits_on_photographs, *toy, "test")
        fails("no train folder and no tar", digits_on_photographs, toy[0], tmp_path, "train")
        fails("No such file", read_mnist, tmp_path, "train")
        for name in ("mnist_train_10k.npz", "t10k-images-idx3-ubyte.gz"):
            whole = (toy[0] / name).read_bytes()
            (toy[0] / name).write_bytes(whole[: len(whole) // 2])
            split = "test" if "t10k" in name else "train"
            fails(rf"{name}: (not digits|is no whole gzip)", read_mnist, toy[0], split)
        archive = toy[1] / "all.tar.gz"
        archive.write_bytes(archive.read_bytes()[:300])
        fails("all.tar.gz: cannot be read as a tar", digits_on_photographs, *toy, "train")

    @pytest.mark.parametrize(
        ("content", "told"),
        [(bytes(2**21), "claims 2097152 bytes"), (b"\xff\xd8", "cannot be read as JPEG"),
         (_picture((33, 32)), "expected a picture of 32 x 32"),
         (_picture((20_000, 20_000)), "cannot be read as JPEG")],
        ids=["long", "cut", "wide", "bomb"],
    )  # fmt: skip
    def test_pictures_made_to_harm(self, tmp_path, content, told):
        with tarfile.open(tmp_path / "all.tar", "w") as archive:
            info = tarfile.TarInfo("train/cat/1.jpg")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        fails(told, read_cifar, tmp_path / "all.tar", "train")

    def test_lesions_are_as_told(self):
        volumes = torch.rand(12, 1, 24, 24, 24, generator=seeded()) * 0.1
        pairs = implanted_lesions(volumes, radius=(3, 4))
        assert int(pairs.is_target.sum()) == 6
        added = (pairs.images - volumes)[:, 0]
        assert not added[~pairs.is_target].any()
        for i in pairs.is_target.nonzero()[:, 0].tolist():
            at = {name: values[i] for name, values in pairs.attributes.items()}
            assert float(added[i].max()) == pytest.approx(at["contrast"], rel=0.06)
            inside = float((added[i] > at["contrast"] / 2).sum())
            assert (inside * 3 / 4 / np.pi) ** (1 / 3) == pytest.approx(at["radius"], rel=0.05)
            centre = np.argwhere(added[i].numpy() > at["contrast"] / 2).mean(0) / 23
            place = [at["depth"], at["row"], at["column"]]
            np.testing.assert_allclose(centre, place, atol=0.02)
            assert at["half"] == ("low" if at["row"] < 0.5 else "high")
        assert np.isnan(pairs.attributes["radius"][~pairs.is_target.numpy()]).all()
        fails("does not fit", implanted_lesions, volumes, radius=(3, 12))
        fails(r"expected \[N, 1", implanted_lesions, volumes[:, 0])
