"""The type in which a GPU multiplies rows: half where a loss was given half, else float32.

Embeddings are widened to float32 on entry, where all that is linear in the batch is computed. The
products of scores and of gradients are the bulk of the work, and a tensor core makes them of half
factors with float32 sums; what was given in half loses no more by it than by its own rounding.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from nearfar.scope import Scope

__all__ = ["current", "products_of"]

_current: ContextVar[torch.dtype | None] = ContextVar("products", default=None)

HALF = (torch.bfloat16, torch.float16)


def current() -> torch.dtype | None:
    """The half type of the loss that is being computed, or None."""
    return _current.get()


def products_of(arguments: tuple[Any, ...]) -> AbstractContextManager[None]:
    """Products in the half type that all matrices among the arguments have, if they have one."""
    flat = (t for value in arguments for t in (value if isinstance(value, list) else [value]))
    kinds = {t.dtype for t in flat
             if isinstance(t, Tensor) and t.ndim > 1 and t.is_floating_point()}  # fmt: skip
    kind = kinds.pop() if len(kinds) == 1 else None
    return Scope(_current, kind) if kind in HALF else nullcontext()
