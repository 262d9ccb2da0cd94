"""Files of strangers: read to no more than was thought, and nothing in them is run."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from nearfar_kit.arrays import names_array, read_array, read_tensor
from nearfar_kit.checkpoint import check_kinds, load_checkpoint, restored, save_checkpoint
from nearfar_kit.command import tell
from nearfar_kit.errors import UserError
from nearfar_kit.frames import as_text, print_frame, read_frame
from nearfar_kit.gzip_files import open_gzip, unpack
from nearfar_kit.jobs import read_records
from nearfar_kit.json_files import parse_json, read_json
from nearfar_kit.panics import panics_told
from nearfar_kit.plots import heatmap, scatter_by_class
from nearfar_kit.table import Table
from nearfar_kit.text_files import read_text


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


class TestText:
    def test_is_read(self, file):
        file.write_bytes("\ufeffa\r\nb\rc\n".encode())
        assert read_text(file, "lines") == "a\nb\nc\n"

    def test_is_refused(self, file):
        refused(lambda path: read_text(path, "lines"), file, "no such file; expected lines")
        file.write_bytes(b"ab\xff")
        refused(lambda path: read_text(path, "lines"), file, "is not UTF-8 at byte 2")
        file.unlink()
        file.symlink_to("/dev/zero")
        refused(lambda path: read_text(path, "lines"), file, "is larger than")
        file.unlink()
        file.symlink_to(file)
        refused(lambda path: read_text(path, "lines"), file, "cannot be read")


RECORD = {"dataset": "a", "split": "b", "method": "c", "seed": 0, "metric": "d", "value": 0.5,
          "n": 1}  # fmt: skip


class TestRecords:
    @dataclass
    class Job:
        file: str

    def test_are_read(self, file):
        file.write_text(json.dumps([RECORD, RECORD]))
        one = file.with_name("one")
        one.write_text(json.dumps(RECORD | {"value": float("nan")}))
        found = read_records([self.Job(file.name), self.Job("one")], file.parent)
        assert [record.value for record in found[:2]] == [0.5, 0.5]
        assert found[2].value != found[2].value

    @pytest.mark.parametrize("content", [5, [5], {"a": 1}, RECORD | {"value": "x"}, "x"])
    def test_are_refused(self, file, content):
        file.write_text(json.dumps(content))
        read = partial(read_records, [self.Job(file.name)])
        refused(lambda path: read(path.parent), file, "holds no records")


class TestModules:
    """A stranger's weights, and settings that claim what they like."""

    def make(self):
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))

    def test_are_restored_and_chance_goes_on_as_if_made_once(self):
        kept = self.make()
        torch.manual_seed(0)
        self.make()
        expected = torch.rand(3)
        torch.manual_seed(0)
        found = restored(self.make, dict(kept.state_dict()))
        assert torch.equal(torch.rand(3), expected)
        for name, own in found.state_dict().items():
            assert torch.equal(own, kept.state_dict()[name])

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({"0.bias": torch.full((4,), torch.nan)}, "0.bias holds NaN"),
            ({"0.bias": torch.zeros(5)}, r"0.bias is \[5\]; expected \[4\]"),
            ({"0.bias": 5}, "0.bias is int"),
            ({"x": torch.zeros(1)}, "has other weights"),
        ],
    )
    def test_are_refused(self, changed, told):
        with pytest.raises(ValueError, match=told):
            restored(self.make, dict(self.make().state_dict()) | changed)

    def test_no_memory_is_taken_for_what_is_claimed(self):
        def huge():
            return torch.nn.Linear(2**24, 2**24)

        with pytest.raises(ValueError, match="weight is"):
            restored(huge, {"weight": torch.zeros(2), "bias": torch.zeros(2)})

    @pytest.mark.parametrize("skeleton", ["5", '{"list": []}', "[" * 100_000, "{}"])
    def test_a_checkpoint_that_is_none(self, file, skeleton):
        save_file({"0": torch.zeros(1)}, file, metadata={"nearfar": skeleton})
        refused(load_checkpoint, file, "is no checkpoint")

    def test_one_that_is(self, file):
        save_checkpoint(file, {"a": [1, torch.ones(2)]})
        assert load_checkpoint(file)["a"][0] == 1


class TestTerminal:
    EVIL = "\x1b]0;owned\x07"

    def test_notes_and_tables_hold_nothing_that_it_obeys(self, capsys):
        tell(f"a {self.EVIL}", "b\nc")
        assert capsys.readouterr().err == "note: a \\x1b]0;owned\\x07\nnote: b\\nc\n"
        Console(width=80).print(Table("", [self.EVIL, "b"], [["a", self.EVIL]]).terminal())
        assert "\x1b" not in capsys.readouterr().out

    def test_panics_are_errors_and_say_nothing_themselves(self, capfd):
        class PanicException(BaseException):  # as that of Rust's libraries
            pass

        with pytest.raises(UserError, match="a file is damaged"), panics_told("a file is damaged"):
            os.write(2, b"thread panicked at ...")
            raise PanicException
        with pytest.raises(KeyboardInterrupt), panics_told("a file is damaged"):
            raise KeyboardInterrupt
        os.write(2, b"heard")
        assert capfd.readouterr().err == "heard"

    def test_names_are_no_formulas_of_a_plot(self, file):
        names = ["$\\frac{$", "$$", "n" * 10_000]
        scatter_by_class(file, np.zeros((3, 2)), np.arange(3), names, title="a")
        heatmap(file, np.ones((3, 3)), names, title="a")


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


class TestNames:
    def test_are_an_array(self, file):
        names = ["a", "ü" * 256, "\0b"] * 1_000
        assert names_array(names, file).tolist() == names
        assert names_array([], file).tolist() == []

    def test_are_refused(self, file):
        with pytest.raises(UserError, match=r"a name of 1000000 characters among 101"):
            names_array(["a" * 10**6, *["b"] * 100], file)
        for name, told in (("a\0", "ends in the character 0"), (5, "is no text")):
            with pytest.raises(UserError, match=told):
                names_array(["a", name], file)


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
        for packed in (b"x\x01\n1\n", b"x\xda\x80\x0a\x00\xf5\xff"):  # as well, and UTF-8
            path.write_bytes(packed)
            refused(read_frame, path, "is compressed")
            refused(lambda path: read_frame(path, separator="\t"), path, "is compressed")

    def test_of_any_name_by_a_separator_without_quotes(self, file):
        file.write_text('a\tb;c\n"1,5\t2\n')
        assert read_frame(file, separator="\t", quote=None).rows() == [('"1,5', "2")]

    def test_text_alone_is_text(self, file):
        frame = pl.DataFrame({"a": ["x"], "b": [1.5], "c": [["x"]], "d": [b"x"], "e": [{"x": 1}]})
        assert as_text(frame, file, "a", "b").rows() == [("x", "1.5")]
        for name in "cde":
            refused(lambda path, name=name: as_text(frame, path, name), file, f"{name} is of type")
        refused(lambda path: as_text(frame, path, "a", "z"), file, "has no column 'z'")


class TestPrinted:
    def test_frames_as_a_file_has_them_and_as_a_terminal_may(self, capsys, monkeypatch):
        frame = pl.DataFrame({"item": ["\x1b]0;owned\x07", "=1+1"]})
        print_frame(frame)
        assert capsys.readouterr().out == "item\n\x1b]0;owned\x07\n'=1+1\n"
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        print_frame(frame)
        assert capsys.readouterr().out == "item\n\\x1b]0;owned\\x07\n'=1+1\n"


class TestState:
    def test_is_of_those_kinds(self):
        check_kinds({"a": [], "b": None, "c": 5}, a=list, b=(dict, type(None)))
        for state in ([], {}, {"a": 5}):
            with pytest.raises(TypeError):
                check_kinds(state, a=list)
