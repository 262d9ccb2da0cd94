"""Layouts are found by their look, and their readers take only options they know."""

from pathlib import Path

import pytest

from nearfar_kit.errors import UserError
from nearfar_kit.layouts import Layout, data_sets, find_layout, layout_of, set_name


def read_file(path: Path, rate: int = 1) -> str:
    return f"{path.name} at {rate}"


def read_folder(path: Path) -> str:
    return path.name


LAYOUTS = {
    "text": Layout("a .txt", lambda path: path.suffix == ".txt", read_file),
    "any": Layout("a file", Path.is_file, read_file),
    "folder": Layout("in/", lambda path: (path / "in").is_dir(), read_folder),
}


def test_the_first_that_fits_is_taken(tmp_path):
    (tmp_path / "a.txt").touch()
    assert find_layout(LAYOUTS, tmp_path / "a.txt") == "text"
    assert layout_of(LAYOUTS, tmp_path / "a.txt") is LAYOUTS["text"]
    assert layout_of(LAYOUTS, tmp_path / "a.txt", "any", ["rate"]) is LAYOUTS["any"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ({"name": "zip"}, "layout 'zip' is unknown; expected one of text, any, folder"),
        ({}, "no known layout; looked for text: a .txt; any: a file; folder: in/"),
        ({"name": "any", "options": ["speed"]}, "any has no option 'speed'; expected some of rate"),
        ({"name": "folder", "options": ["rate"]}, "folder has no option 'rate'; it has none"),
    ],
)
def test_mistakes(tmp_path, call, told):
    with pytest.raises(UserError, match=told):
        layout_of(LAYOUTS, tmp_path, **call)


def test_a_folder_of_data_sets_names_the_first(tmp_path):
    (tmp_path / ".a.txt").touch()
    for name in ("c.txt", "b.txt"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"no known layout; expected one file of what .*b\.txt$"):
        layout_of(LAYOUTS, tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="a: no such file or folder; expected clips"):
        layout_of(LAYOUTS, tmp_path / "a", expected="clips")


class TestDataSets:
    @pytest.fixture
    def root(self, tmp_path):
        (tmp_path / "one" / "in").mkdir(parents=True)
        (tmp_path / "two.v1" / "in").mkdir(parents=True)
        (tmp_path / "three").mkdir()
        (tmp_path / ".hidden" / "in").mkdir(parents=True)
        (tmp_path / "a.txt").touch()
        return tmp_path

    def test_itself(self, root):
        assert data_sets(LAYOUTS, root / "one") == [root / "one"]
        assert data_sets(LAYOUTS, root / "a.txt") == [root / "a.txt"]

    def test_those_in_a_folder(self, root):
        assert data_sets(LAYOUTS, root) == [root / "one", root / "two.v1"]
        files_too = data_sets(LAYOUTS, root, files=True)
        assert files_too == [root / "a.txt", root / "one", root / "two.v1"]

    def test_a_folder_that_looks_like_one_is_one(self, root):
        (root / "in").mkdir()
        assert data_sets(LAYOUTS, root) == [root]

    def test_of_several_layouts_it_holds_data_sets(self, root):
        deep = Layout("deep", lambda path: any(path.rglob("b.deep")), read_folder)
        (root / "three" / "b.deep").touch()
        layouts = {"deep": deep, **LAYOUTS}
        assert data_sets(layouts, root) == [root / "one", root / "three", root / "two.v1"]

    def test_mistakes(self, root):
        with pytest.raises(UserError, match="away: no such file or folder; expected a data set"):
            data_sets(LAYOUTS, root / "away")
        with pytest.raises(UserError, match=r"three: no known layout; looked for text: a \.txt"):
            data_sets(LAYOUTS, root / "three")
        (root / "a.csv").touch()
        with pytest.raises(UserError, match=r"a\.csv and a\.txt are of one name; expected one"):
            data_sets(LAYOUTS, root, files=True)


def test_names_of_data_sets(tmp_path, monkeypatch):
    folder = tmp_path / "study.v2"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert set_name(Path(".")) == set_name(folder) == "study.v2"
    assert set_name(folder / "reads.fasta.gz") == "reads"
    assert set_name(Path("ml-100k")) == "ml-100k"
