"""Alignment, uniformity, and the joint entropy of two embeddings."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nearfar import inputs
from nearfar.batch import Group, at_hand, lse_of, row_numbers, size_of
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.module import Loss
from nearfar.pairs import everything, other
from nearfar.reduction import Reduction, reduce
from nearfar.statistic import Scores, Statistic

__all__ = ["Alignment", "JointEntropy", "Uniformity", "alignment", "joint_entropy", "uniformity"]


@global_batch("view_a", "view_b")
def alignment(
    view_a: Tensor,
    view_b: Tensor,
    *,
    power: float = 2.0,
    normalize: bool = True,
    reduction: Reduction = "mean",
    group: Group = None,
) -> Tensor:
    """``|a_i - b_i|^power``: how far positives are apart. Wang and Isola 2020 (arXiv 2005.10242).

    Args:
        view_a, view_b: [N, D]; row i of both is the same sample.
        power: above 0.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite.

    Example:
        >>> alignment(torch.eye(4), torch.eye(4).roll(1, 0))
        tensor(2.)
    """
    a = inputs.embeddings("view_a", view_a, normalize=normalize)
    b = inputs.beside("view_b", view_b, "view_a", a, normalize=normalize)
    square = (a - b).square().sum(1)
    return reduce(square if power == 2 else square.clamp(min=1e-30) ** (power / 2), reduction)


@global_batch("embeddings")
def uniformity(
    embeddings: Tensor,
    *,
    reference: Tensor | None = None,
    t: float = 2.0,
    normalize: bool = True,
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``log mean_{i != j} e^{-t |x_i - x_j|^2}``: how evenly rows cover the sphere.

    Wang and Isola 2020 (arXiv 2005.10242), equal to their ``uniform_loss``; lower is more even.

    Args:
        embeddings: [N, D], N >= 2.
        reference: [M, D]: every row against all of these instead of the batch's other rows.
        t: above 0.
        normalize: scale all rows to unit norm first.

    Raises:
        ValueError: an input is empty or not finite, t <= 0, one row alone.

    Example:
        >>> uniformity(torch.eye(4))  # all at squared distance 2
        tensor(-4.)
    """
    x = inputs.embeddings("embeddings", embeddings, normalize=normalize)
    if not t > 0:
        raise ValueError(f"t is {t}; expected above 0")
    own, everyone = row_numbers(x), size_of(x)
    if reference is None:
        if everyone < 2:
            raise ValueError("embeddings has one row; expected two or more")
        a = _log_kernel_sums([(x, x, t)], Statistic("lse", other(own, own)), path)
        return lse_of(a) - math.log(everyone * (everyone - 1))
    y = inputs.embeddings("reference", reference, normalize=normalize, like=x)
    with at_hand():
        a = _log_kernel_sums([(x, y, t)], Statistic("lse", everything()), path)
    return lse_of(a) - math.log(everyone * len(y))


@global_batch("first", "second")
def joint_entropy(
    first: Tensor,
    second: Tensor,
    *,
    temperature: float | Tensor = 0.5,
    normalize: tuple[bool, bool] = (True, True),
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``log (1/N) sum_j e^{-|x_i - x_j|^2 / 2 temperature} e^{-|y_i - y_j|^2 / 2 temperature}``.

    Its mean is minus the kernel estimate of the joint entropy of two embeddings of the same
    samples, j = i included: minimising it makes them independent where their own entropies are held
    up. The k-JEM term of SepCLR, Louiset et al. 2024 (arXiv 2402.11928).

    Args:
        first, second: [N, D] and [N, E]; row i of both is the same sample.
        temperature: above 0; a number or a tensor [], the variance of both Gaussian kernels.
        normalize: scale the rows of each to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> joint_entropy(torch.ones(4, 2), torch.ones(4, 3)).abs() < 1e-6  # all in one place
        tensor(True)
    """
    x = inputs.embeddings("first", first, normalize=normalize[0])
    y = inputs.embeddings("second", second, normalize=normalize[1])
    if len(x) != len(y):
        raise ValueError(f"second has {len(y)} rows; expected {len(x)}, one a row of first")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected above 0")
    t = 1 / (2 * temperature)
    # A product of two Gaussian kernels is one of the rows laid side by side.
    a = _log_kernel_sums([(x, x, t), (y.to(x), y.to(x), t)], Statistic("lse", everything()), path)
    return reduce(a - math.log(size_of(x)), reduction)


def _log_kernel_sums(
    parts: list[tuple[Tensor, Tensor, float | Tensor]], statistic: Statistic, path: Path | None
) -> Tensor:
    """``log sum_j prod_parts e^{-t |x_i - y_j|^2}`` [N]: a log-sum-exp, biased on both sides."""
    scaled = [(x * (2 * t) ** 0.5, y * (2 * t) ** 0.5) for x, y, t in parts]
    x = torch.cat([x for x, _ in scaled], 1)
    y = torch.cat([y for _, y in scaled], 1)
    # -|x - y|^2 / 2 = <x, y> - |x|^2 / 2 - |y|^2 / 2
    scores = Scores(x, y, x.new_ones(()), -y.square().sum(1) / 2)
    (a,) = row_statistics(scores, [statistic], path=path)
    return a - x.square().sum(1) / 2


class Alignment(Loss):
    """:func:`alignment` as a module: ``forward(view_a, view_b)``."""

    function = staticmethod(alignment)


class Uniformity(Loss):
    """:func:`uniformity` as a module: ``forward(embeddings)``."""

    function = staticmethod(uniformity)
    inputs = frozenset({"reference"})


class JointEntropy(Loss):
    """:func:`joint_entropy` as a module: ``forward(first, second)``."""

    function = staticmethod(joint_entropy)
