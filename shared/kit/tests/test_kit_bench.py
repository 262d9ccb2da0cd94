"""What a benchmark does with several data sets of which some cannot be used."""

from pathlib import Path

import pytest

from nearfar_kit.bench import usable
from nearfar_kit.errors import UserError

PATHS = [Path("sets/a"), Path("sets/b"), Path("sets/c")]


def take(path):
    if path.name != "b":
        raise UserError(f"{path}: is empty")
    return path.name


def test_those_refused_are_named(capsys):
    assert usable(PATHS, take) == ["b"]
    told = capsys.readouterr().err
    assert told == "note: left out: sets/a: is empty\nnote: left out: sets/c: is empty\n"


def test_the_only_one_is_refused(capsys):
    with pytest.raises(UserError, match=r"^sets/a: is empty$"):
        usable(PATHS[:1], take)
    assert not capsys.readouterr().err


def test_all_are_refused(capsys):
    with pytest.raises(UserError, match="sets: none of its 2 data sets can be compared on"):
        usable([PATHS[0], PATHS[2]], take)
    assert "sets/a" in capsys.readouterr().err
