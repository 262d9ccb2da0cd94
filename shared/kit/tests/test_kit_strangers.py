"""Files of strangers: read to no more than was thought, and nothing in them is run."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from nearfar_kit.arrays import read_array, read_tensor
from nearfar_kit.errors import UserError
from nearfar_kit.frames import read_frame
from nearfar_kit.gzip_files import open_gzip, unpack
from nearfar_kit.json_files import parse_json, read_json


class Evil:
    """Whoever unpickles this makes a file."""

    def __reduce__(self):
        return (open, ("owned", "w"))


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "file"
    assert not Path("owned").exists()


def refused(read, file, told):
    with pytest.raises(UserError, match=told) as error:
        read(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


class TestJson:
    def test_is_read(self, file):
        file.write_text('{"ü": [1, null]}', encoding="utf-8-sig")
        assert read_json(file) == {"ü": [1, None]}

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "is no valid JSON"),
            (b'{"a": 1,\n "b": }', "line 2: is no valid JSON"),
            (b"[" * 100_000, "is nested too deep"),
            (b"9" * 10_000, "holds a number of too many digits"),
            ("[“ü”]".encode("latin-1", "replace").replace(b"?", b"\xfc"), "is not UTF-8 at byte 1"),
        ],
    )
    def test_is_refused(self, file, content, told):
        file.write_bytes(content)
        refused(read_json, file, told)

    def test_no_file(self, file):
        refused(read_json, file, "no such file")
        file.mkdir()
        refused(read_json, file, "cannot be read")

    def test_a_line_by_its_name(self):
        with pytest.raises(UserError, match=r"^--row: is no valid JSON"):
            parse_json("{", "--row")


class TestGzip:
    def test_is_what_gzip_reads(self, file):
        content = np.random.default_rng(0).bytes(300_000)
        file.write_bytes(gzip.compress(content[:100_000]) + gzip.compress(content[100_000:]))
        assert unpack(file) == content
        with file.open("rb") as packed:
            opened = open_gzip(packed, file)
            assert opened.peek(1)[:1] == content[:1]
            assert io.BytesIO(content).readlines() == opened.readlines()

    def test_a_bomb_is_refused_where_it_blows_up(self, file):
        file.write_bytes(gzip.compress(bytes(2**24)))
        with file.open("rb") as packed:
            opened = open_gzip(packed, file, least=2**20)
            assert opened.read(2**19) == bytes(2**19)
            with pytest.raises(UserError, match="unpacks to more than 100 times its size"):
                opened.read()
        assert unpack(file) == bytes(2**24)  # which fits into any memory

    def test_damage(self, file):
        whole = gzip.compress(np.random.default_rng(0).bytes(10_000))
        for broken in (whole[:-9], b"plain", whole[:100] + bytes(50) + whole[150:], whole + b"a"):
            file.write_bytes(broken)
            refused(unpack, file, "is no whole gzip file|cannot be read")


class TestArray:
    def test_is_read(self, file):
        rows = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
        with file.open("wb") as out:
            np.save(out, rows)
        found = read_array(file)
        assert type(found) is np.ndarray
        assert (found == rows).all()
        assert found.flags.writeable

    def test_is_refused(self, file):
        with file.open("wb") as out:
            np.save(out, np.array([Evil()], dtype=object), allow_pickle=True)
        refused(read_array, file, "is no array")
        file.write_bytes(pickle.dumps(Evil()))
        refused(read_array, file, "is no array")
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**40, 8)}
        with file.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, header)
        refused(read_array, file, "is no array")
        file.write_bytes(b"")
        refused(read_array, file, "is no array")


class TestTensor:
    def test_is_read(self, file):
        rows = torch.randn(3, 4)
        torch.save(rows, file)
        assert torch.equal(read_tensor(file), rows)
        torch.save(rows.mT, file)
        assert torch.equal(read_tensor(file), rows.mT)

    def test_is_refused(self, file):
        torch.save(Evil(), file)
        refused(read_tensor, file, "holds no tensor, or more")
        file.write_bytes(pickle.dumps(Evil()))
        refused(read_tensor, file, "holds no tensor, or more")
        torch.save({"a": torch.zeros(2)}, file)
        refused(read_tensor, file, "holds a dict; expected one dense tensor")
        torch.save(torch.zeros(1).expand(2**20, 2**20), file)
        refused(read_tensor, file, "claims")
        file.write_bytes(b"")
        refused(read_tensor, file, "holds no tensor, or more")

    def test_a_packed_one(self, file):
        torch.save(torch.zeros(2**20), file)
        inside = io.BytesIO(file.read_bytes())
        with (
            zipfile.ZipFile(inside) as plain,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            for member in plain.infolist():
                packed.writestr(member.filename, plain.read(member))
        refused(read_tensor, file, "unpacks to")


class TestFrame:
    def test_runs_of_one_value_are_not_unpacked(self, tmp_path):
        path = tmp_path / "a.parquet"
        one = pl.LazyFrame({"a": [1]}).select(pl.repeat(1, 2**24).alias(f"c{n}") for n in range(9))
        one.collect().write_parquet(path, compression_level=1)
        assert path.stat().st_size < 2**20
        refused(read_frame, path, "unpacks to 150994944 cells")
        pl.DataFrame({"a": [1, 2]}).write_parquet(path)
        assert read_frame(path)["a"].to_list() == [1, 2]

    @pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
    @pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
    def test_packed_text_is_not_unpacked(self, tmp_path, name, pack):
        path = tmp_path / name
        path.write_bytes(pack(b"a,b\n" + b"1,2\n" * 1000))
        refused(read_frame, path, "is compressed; expected the text")
        path.write_bytes(b"x\x01\n1\n")  # packed as well, and UTF-8
        refused(read_frame, path, "is compressed; expected the text")
