"""Settings: one frozen model a package, filled from YAML files and ``--set key=value``."""

from __future__ import annotations

import difflib
import hashlib
import json
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from nearfar_kit.errors import UserError

__all__ = [
    "NO_YAML",
    "Settings",
    "as_yaml",
    "in_short",
    "load_settings",
    "preset_values",
    "settings_hash",
]

S = TypeVar("S", bound="Settings")

LARGEST = 2**20  # bytes of a file of settings
# What the YAML of a stranger brings about: dates that are none and numbers of thousands of digits
# are ValueErrors.
NO_YAML = (yaml.YAMLError, ValueError, RecursionError)


class Settings(BaseModel):
    """The base of every package's settings: frozen, unknown keys refused.

    The line of text under a setting is its description, which the pages of docs/ show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def preset_values(
    presets: Mapping[str, Mapping[str, Any]], name: str, what: str = "preset"
) -> dict[str, Any]:
    """The values of a named preset, for :func:`load_settings` to begin with.

    Raises:
        UserError: there is none of that name.

    Example:
        >>> preset_values({"cpu": {"steps": 10}, "gpu": {}}, "cpu")
        {'steps': 10}
    """
    if name not in presets:
        raise UserError(f"{what} {name}: expected one of {', '.join(presets)}")
    return dict(presets[name])


def load_settings(
    cls: type[S],
    config: Path | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
    where: object = "settings",
) -> S:
    """Settings from ``base``, then the YAML file ``config``, then ``key=value`` overrides.

    Args:
        where: ``base`` is from, for errors.

    Raises:
        UserError: the file is missing or no YAML mapping; a key is unknown (the nearest known one
            is named); a value has the wrong type or is out of bounds.
    """
    values: dict[str, Any] = dict(base or {})
    sources = dict.fromkeys(values, str(where))
    if config is not None:
        for key, value in _read_yaml(config).items():
            values[str(key)], sources[str(key)] = value, str(config)
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise UserError(f"--set {item}: expected key=value")
        try:
            values[key], sources[key] = yaml.safe_load(text), f"--set {_short(item)}"
        except NO_YAML:
            raise UserError(f"--set {_short(item)}: the value is no YAML scalar or list") from None
    known = cls.model_fields
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"the nearest is {near[0]}" if near else f"known: {', '.join(known)}"
            raise UserError(f"{sources[key]}: unknown setting {key}; {hint}")
    try:
        return cls(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        top = field.split(".")[0]
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UserError(
            f"{sources.get(top, where)}: {field} is {in_short(first['input'])}; {message}"
        ) from None


def in_short(value: object) -> str:
    """A value for an error: a few lines of YAML may stand for more than memory holds."""
    short = reprlib.Repr()
    short.maxlevel = 2
    return short.repr(value)


def _short(text: str) -> str:
    return text if len(text) < 200 else f"{text[:197]}..."


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        with path.open("rb") as file:  # which may have no end
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise UserError(f"{path}: is larger than {LARGEST} bytes; expected YAML settings")
        content = yaml.safe_load(text.decode())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is no UTF-8 text; expected YAML settings") from None
    except NO_YAML as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: is no valid YAML") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}; expected 'key: value' lines")
    return content


def as_yaml(settings: Settings) -> str:
    """All settings as a YAML text that ``load_settings`` reads back."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    return text


def settings_hash(settings: Settings) -> str:
    """Twelve hexadecimal digits that differ where any setting does."""
    canonical = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
