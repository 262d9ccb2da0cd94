"""Matryoshka: any loss on nested prefixes of the embedding, so that each prefix can be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Matryoshka"]


class Matryoshka(nn.Module):
    """``sum_m weight_m loss(z[:, :m], ...)`` over widths m.

    Kusupati et al. 2022 (arXiv 2205.13147). Losses that normalise their rows do so for each prefix.

    Args:
        loss: a loss module or function; all of its arguments that are floating [..., D] tensors of
            the full width are cut.
        widths: numbers of leading columns, each 1 to D.
        weights: of each width; None: all 1, as in the paper.

    Raises:
        ValueError: no width, one that is not positive or above D, or as many weights as not widths.

    Example:
        >>> import nearfar
        >>> loss = Matryoshka(nearfar.InfoNCE(), [2, 4])
        >>> z = torch.eye(4)
        >>> loss(z, z) == nearfar.InfoNCE()(z[:, :2], z[:, :2]) + nearfar.InfoNCE()(z, z)
        tensor(True)
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        widths: Sequence[int],
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise ValueError(f"widths is {list(widths)}; expected one or more, each at least 1")
        if weights is not None and len(weights) != len(widths):
            raise ValueError(f"weights holds {len(weights)}; expected one for each width")
        self.loss = loss
        self.widths = tuple(widths)
        self.weights = tuple(weights) if weights is not None else (1.0,) * len(widths)

    def forward(self, *inputs: Any, **keywords: Any) -> Tensor:
        full = max(
            (x.shape[-1] for x in inputs if torch.is_tensor(x) and x.is_floating_point()),
            default=0,
        )
        if max(self.widths) > full:
            raise ValueError(f"widths reach {max(self.widths)}; expected at most {full}, the rows'")

        def cut(value: Any, width: int) -> Any:
            wide = torch.is_tensor(value) and value.is_floating_point() and value.ndim > 1
            return value[..., :width] if wide and value.shape[-1] == full else value

        total: Tensor | None = None
        for width, weight in zip(self.widths, self.weights, strict=True):
            part = self.loss(
                *(cut(x, width) for x in inputs), **{k: cut(x, width) for k, x in keywords.items()}
            )
            total = weight * part if total is None else total + weight * part
        assert total is not None
        return total

    def extra_repr(self) -> str:
        return f"widths={self.widths}, weights={self.weights}"
