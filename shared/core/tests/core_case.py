"""What a case is: a loss, inputs to try it on, its definition written out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Case:
    name: str
    # (rows, width, generator) -> the embeddings, float64
    draw: Callable[[int, int, torch.Generator], Sequence[Tensor]]
    # (embeddings, keyword settings) -> the loss
    loss: Callable[..., Tensor]
    # (embeddings, temperature) -> [rows] losses and which of them count, by the definition
    oracle: Callable[[Sequence[Tensor], float], tuple[Tensor, Tensor]]
    held: bool = False  # a part has no gradient by design, which finite differences can't know
    fewest: int = 1  # rows below which no row of the case's labels has a positive


def randn(*shape: int, g: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def fixed(*shape: int, seed: int) -> Tensor:
    """The same numbers whatever the default device is, and on that."""
    with torch.device("cpu"):
        numbers = randn(*shape, g=torch.Generator().manual_seed(seed))
    return numbers.to(torch.get_default_device())


def two(n: int, d: int, g: torch.Generator) -> list[Tensor]:
    return [randn(n, d, g=g), randn(n, d, g=g)]


def labels_of(n: int) -> Tensor:
    return (torch.arange(n) * 7) % max(2, n // 3)


def unit(x: Tensor) -> Tensor:
    return normalize(x, dim=-1)


def every(losses: Tensor) -> tuple[Tensor, Tensor]:
    return losses, torch.ones(len(losses), dtype=torch.bool)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype that a loss computes in."""
    return torch.promote_types(dtype, torch.float32)
