"""A context variable with another value inside a block, which may be entered again."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Generic, TypeVar

__all__ = ["Scope"]

T = TypeVar("T")


class Scope(AbstractContextManager[None], Generic[T]):
    """Inside, ``variable`` is ``value``; a backward pass may enter one that was left long ago."""

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        self.variable, self.value = variable, value
        self.tokens: list[Token[T]] = []

    def __enter__(self) -> None:
        self.tokens.append(self.variable.set(self.value))

    def __exit__(self, *error: object) -> None:
        self.variable.reset(self.tokens.pop())
