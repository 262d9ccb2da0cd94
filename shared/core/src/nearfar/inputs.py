"""What every loss does with its arguments first: check, widen, normalise, scale."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.statistic import Scores
from nearfar.unit_norm import to_unit_norm

__all__ = [
    "NotFiniteError",
    "beside",
    "embeddings",
    "labels_of",
    "one_positive",
    "paired",
    "positive",
    "scores_of",
]

# exp of scores within this bound, and sums of billions of them, are normal float32 numbers: no
# running maximum has to be taken off first. Unit vectors keep to it down to a temperature of 0.025.
BOUND = 40.0


class NotFiniteError(ValueError):
    """NaN or infinity in what a loss is taken of: in training, mostly a learning rate too high."""


def embeddings(name: str, x: Tensor, *, normalize: bool, like: Tensor | None = None) -> Tensor:
    """``x`` [N, D], at least float32 and, where asked, of unit norm.

    Raises:
        TypeError: no tensor.
        ValueError: not a floating matrix, empty, or its width or precision differs from ``like``'s.
        NotFiniteError: a row is not finite.
    """
    _tensor(name, x)
    if x.ndim != 2 or not x.is_floating_point():
        raise ValueError(f"{name} is {x.dtype} of shape {tuple(x.shape)}; expected floats [N, D]")
    if x.shape[0] == 0 or x.shape[1] == 0:
        raise ValueError(f"{name} is empty, shape {tuple(x.shape)}; expected at least one row")
    if like is not None and x.shape[1] != like.shape[1]:
        raise ValueError(f"{name} has rows of {x.shape[1]} numbers; expected {like.shape[1]}")
    # On a GPU the answer would have to be waited for; a NaN loss tells there.
    # One number tells at a tenth of the cost: what is not finite cannot be summed away.
    if x.device.type == "cpu" and not x.detach().sum().isfinite() and not x.isfinite().all():
        row = int((~torch.isfinite(x)).any(1).nonzero()[0])
        raise NotFiniteError(f"{name}, shape {tuple(x.shape)}, has NaN or infinity in row {row}")
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    if like is not None and x.dtype != like.dtype:
        raise ValueError(f"{name} is {x.dtype}; expected {like.dtype}, as what it is compared with")
    return to_unit_norm(x) if normalize else x


def beside(name: str, x: Tensor, other_name: str, other: Tensor, *, normalize: bool) -> Tensor:
    """``x`` [N, D] as :func:`embeddings`, a row for each of ``other``'s N, of the same width."""
    x = embeddings(name, x, normalize=normalize, like=other)
    if len(x) != len(other):
        raise ValueError(
            f"{name} has {len(x)} rows; expected {len(other)}, one a row of {other_name}"
        )
    return x


def labels_of(name: str, labels: Tensor, rows: Tensor) -> Tensor:
    """``labels`` [N] of integers, one a row of ``rows``."""
    _tensor(name, labels)
    if labels.shape != (len(rows),) or labels.is_floating_point():
        raise ValueError(
            f"{name} is {labels.dtype} of shape {tuple(labels.shape)}; "
            f"expected one integer a row, shape ({len(rows)},)"
        )
    return labels.to(rows.device)


def _tensor(name: str, x: object) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}; expected a tensor")


def scores_of(
    queries: Tensor, keys: Tensor, scale: Tensor, *, normalized: bool, bias: Tensor | None = None
) -> Scores:
    """The scores of prepared embeddings, and whether the norms of their rows bound them.

    On a GPU the answer would have to be waited for, and is no.
    """
    if queries.device.type != "cpu" or len(queries) == 0:
        return Scores(queries, keys, scale, bias)
    with torch.no_grad():
        largest = scale.max()
        if not normalized:
            largest = (queries.norm(dim=1) * scale).max() * keys.norm(dim=1).max()
        if bias is not None:
            largest = largest + bias.abs().max()
    return Scores(queries, keys, scale, bias, bool(largest <= BOUND))


def paired(queries: Tensor, keys: Tensor, scale: Tensor) -> Tensor:
    """The scores [N] of row i of ``queries`` with row i of ``keys``."""
    return (queries * keys).sum(1) * scale


def positive(name: str, value: float | Tensor, rows: Tensor) -> Tensor:
    """``value``, one number or one a row of ``rows``, as a tensor that is above 0."""
    tensor = torch.as_tensor(value, dtype=rows.dtype, device=rows.device)
    if tensor.ndim > 1 or (tensor.ndim == 1 and len(tensor) != len(rows)):
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)}; expected one number or ({len(rows)},)"
        )
    if tensor.device.type == "cpu" and not (tensor > 0).all():
        raise ValueError(f"{name} is {tensor.detach().min().item():g}; expected above 0")
    return tensor


def one_positive(name: str, value: float | Tensor, rows: Tensor) -> Tensor:
    """``value``, one number alone, as a tensor [] that is above 0."""
    tensor = positive(name, value, rows)
    if tensor.ndim:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected one number")
    return tensor
