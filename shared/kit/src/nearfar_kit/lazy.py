"""Names of a package that are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["found_when_asked"]


def found_when_asked(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``: torch and the like take seconds, and ``--help`` needs none.

    Args:
        homes: the module of the package that each public name lives in.

    Example:
        >>> found = found_when_asked("nearfar_kit", {"UserError": "errors"})
        >>> found("UserError").__module__
        'nearfar_kit.errors'
    """

    def find(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
