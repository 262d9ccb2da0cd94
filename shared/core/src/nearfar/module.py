"""A loss as a module: the function with its settings kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

__all__ = ["Loss"]


class Loss(nn.Module):
    """Keeps the keyword settings of ``function`` and calls it with them.

    A subclass names its function; its settings are the function's keyword-only arguments, with the
    same defaults. A setting that is an ``nn.Parameter`` (a learned temperature) is a parameter of
    the module, and one that is an ``nn.Module`` is called, without arguments, for its value. A
    keyword at the call stands over the setting kept.
    """

    function: ClassVar[Callable[..., Tensor]]
    inputs: ClassVar[frozenset[str]] = frozenset()  # keyword-only tensors given at each call

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        known = _settings(type(self))
        unknown = settings.keys() - known.keys()
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no setting {', '.join(sorted(unknown))}; "
                f"expected {', '.join(known)}"
            )
        self._names = tuple(known)
        for name, default in known.items():
            setattr(self, name, settings.get(name, default))

    def __init_subclass__(cls) -> None:
        # What help() and an editor show: the function's keywords.
        keywords = (
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, default in _settings(cls).items()
        )
        cls.__signature__ = inspect.Signature(list(keywords))  # type: ignore[attr-defined]

    def forward(self, *inputs: Any, **keyword_inputs: Any) -> Tensor:
        settings = {name: getattr(self, name) for name in self._names}
        for name, value in settings.items():
            if isinstance(value, nn.Module):
                settings[name] = value()
        return type(self).function(*inputs, **settings | keyword_inputs)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)


def _settings(cls: type[Loss]) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(cls.function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in cls.inputs
    }
