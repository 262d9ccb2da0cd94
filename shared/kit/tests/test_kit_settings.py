"""Settings: what fills them, and one clear line for what does not fit."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from nearfar_kit.errors import UserError
from nearfar_kit.settings import Settings, as_yaml, load_settings, settings_hash


class Some(Settings):
    temperature: float = Field(0.1, gt=0)
    steps: int = 5
    encoder: Literal["small", "large"] = "small"
    widths: tuple[int, ...] = (1, 2)


def test_the_last_word_is_the_command_lines(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("temperature: 0.2\nsteps: 7\n")
    made = load_settings(Some, file, ["steps=9", "widths=[3, 4]"], base={"encoder": "large"})
    assert made == Some(temperature=0.2, steps=9, encoder="large", widths=(3, 4))


def test_what_is_written_is_read_back(tmp_path):
    made = Some(temperature=1e-3, widths=(5,), encoder="large")
    file = tmp_path / "settings.yaml"
    file.write_text(as_yaml(made))
    assert load_settings(Some, file) == made


def test_frozen():
    with pytest.raises(ValidationError):
        Some().steps = 6


def test_the_hash_differs_where_any_setting_does():
    different = [Some(), Some(temperature=0.2), Some(steps=6), Some(widths=(2, 1))]
    assert len({settings_hash(s) for s in different}) == len(different)
    assert settings_hash(Some()) == settings_hash(Some(temperature=0.1))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["temprature=0.2"], "--set temprature=0.2: unknown setting temprature; the nearest is "
                             "temperature"),
        (["zzz=1"], "unknown setting zzz; known: temperature, steps, encoder, widths"),
        (["temperature=0"], "--set temperature=0: temperature is 0; input should be greater"),
        (["steps=many"], "steps is 'many'; input should be a valid integer"),
        (["steps=1.5"], "steps is 1.5"),
        (["encoder=huge"], "encoder is 'huge'; input should be 'small' or 'large'"),
        (["widths=[1, x]"], "widths.1 is 'x'"),
        (["steps"], "--set steps: expected key=value"),
        (["=3"], "--set =3: expected key=value"),
        (["steps=[1"], "--set steps=\\[1: the value is no YAML"),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line(overrides, told):
    with pytest.raises(UserError, match=told):
        load_settings(Some, overrides=overrides)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"steps: 3\nstep: 4\n", "own.yaml: unknown setting step; the nearest is steps"),
        (b"- 1\n", "own.yaml: holds a list; expected 'key: value' lines"),
        (b"a: [\n", "own.yaml, line 2: is no valid YAML"),
        (b"\xff\xfe\x00", "own.yaml: is no UTF-8 text"),
        (b"steps: !!python/object/apply:os.system ['true']\n", "own.yaml, line 1: is no valid"),
        (b"3: 4\n", "unknown setting 3"),
    ],
)
def test_mistakes_in_the_file(tmp_path, content, told):
    file = tmp_path / "own.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=told):
        load_settings(Some, file)


def test_an_empty_file_changes_nothing(tmp_path):
    (tmp_path / "own.yaml").write_text("")
    assert load_settings(Some, tmp_path / "own.yaml") == Some()


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read"):
        load_settings(Some, tmp_path / "none.yaml")
