"""Layouts are found by their look, and their readers take only options they know."""

from pathlib import Path

import pytest

from nearfar_kit.errors import UserError
from nearfar_kit.layouts import Layout, find_layout, layout_of


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


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="a: no such file or folder; expected clips"):
        layout_of(LAYOUTS, tmp_path / "a", expected="clips")
