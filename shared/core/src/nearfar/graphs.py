"""Losses within torch.compile: run as they are, between the compiled parts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

__all__ = ["outside_graphs"]

P = ParamSpec("P")
R = TypeVar("R")


def outside_graphs(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which torch.compile leaves alone: it would unroll the loops over tiles.

    The mark is set at the first call from a compiled function: torch.compiler.disable loads the
    compiler, a second that nobody else should wait for.
    """
    marked: list[Callable[P, R]] = []

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not torch.compiler.is_compiling():
            return function(*args, **kwargs)
        if not marked:
            marked.append(torch.compiler.disable(function))
        return marked[0](*args, **kwargs)

    return call
