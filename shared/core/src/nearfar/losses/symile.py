"""Symile: three or more modalities of one sample belong together as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import reduce as fold
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nearfar.batch import Group, again, keys_of_ring, row_numbers
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import embeddings, paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus
from nearfar.statistic import Statistic

__all__ = ["Symile", "symile"]

BLOCK = 64  # of a modality's rows multiplied with all anchors at a time


@global_batch("modalities")
def symile(
    modalities: Sequence[Tensor],
    *,
    logit_scale: float | Tensor = 1 / 0.07,
    negatives: Literal["shuffled", "all"] = "shuffled",
    normalize: bool = True,
    generator: torch.Generator | None = None,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-log softmax`` of the multilinear product ``s = logit_scale sum_d prod_m r_m[d]``.

    Saporta et al. 2024 (arXiv 2411.01053). Each modality in turn is the anchor and its sample's
    others, multiplied, are the positive; the mean over anchors. Negatives are other samples'
    products after each of the other modalities was shuffled by itself (N - 1 of them), or, with
    ``all``, every combination of other rows (N^2 - 1 of three modalities), counted but not stored.

    Args:
        modalities: at least two of [N, D]; with two this is CLIP. ``all`` takes three at most.
        logit_scale: above 0; a number or a tensor [] that may require grad.
        negatives: ``shuffled`` or ``all``.
        normalize: scale all rows to unit norm first.
        generator: of the shuffles; in a ring each process shuffles its own rows.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, logit_scale <= 0.

    Example:
        >>> z = torch.eye(4)
        >>> symile([z, z, z], logit_scale=100.0, negatives="all") < 1e-3
        tensor(True)
    """
    if len(modalities) < 2:
        raise ValueError(f"modalities holds {len(modalities)}; expected at least two")
    if negatives not in ("shuffled", "all"):
        raise ValueError(f"negatives is {negatives!r}; expected 'shuffled' or 'all'")
    if negatives == "all" and len(modalities) > 3:
        raise ValueError(f"modalities holds {len(modalities)}; negatives='all' takes three at most")
    first = embeddings("modalities[0]", modalities[0], normalize=normalize)
    rows = [first]
    for number, modality in enumerate(modalities[1:], start=1):
        name = f"modalities[{number}]"
        rows.append(embeddings(name, modality, normalize=normalize, like=first))
        if len(rows[-1]) != len(first):
            raise ValueError(f"{name} has {len(rows[-1])} rows; expected {len(first)}")
    scale = positive("logit_scale", logit_scale, first)

    losses = torch.zeros_like(first[:, 0])
    for number, anchor in enumerate(rows):
        others = rows[:number] + rows[number + 1 :]
        s = paired(anchor, fold(torch.mul, others), scale)
        if negatives == "shuffled" or len(others) == 1:
            r = _shuffled(anchor, others, scale, generator, path)
        else:
            r = _all(anchor, others[0], others[1], scale, path)
        losses = losses + softplus(r - s)
    return reduce(losses / len(rows), reduction)


def _shuffled(
    anchor: Tensor,
    others: list[Tensor],
    scale: Tensor,
    generator: torch.Generator | None,
    path: Path | None,
) -> Tensor:
    """Log-sum-exp [N] over the products of rows that were shuffled each by itself."""
    own = row_numbers(anchor)
    if len(others) > 1:
        device = own.device if generator is None else generator.device
        orders = [
            torch.randperm(len(anchor), generator=generator, device=device).to(own) for _ in others
        ]
        others = [other[order] for other, order in zip(others, orders, strict=True)]
    # As in the authors' code column i is left out, where the true product stands instead.
    scores = scores_of(anchor, fold(torch.mul, others), scale, normalized=False)
    return row_statistics(scores, [Statistic("lse", other(own, own))], path=path)[0]


def _all(anchor: Tensor, b: Tensor, c: Tensor, scale: Tensor, path: Path | None) -> Tensor:
    """Log-sum-exp [N] over all <anchor_i, b_j c_k> but j = k = i."""
    own = row_numbers(anchor)
    # N^3 products: the rows of one modality are the least of it.
    b = keys_of_ring(b)

    def block(anchor: Tensor, b: Tensor, c: Tensor, scale: Tensor, ids: Tensor) -> Tensor:
        # <a_i, b_j c_k> = <a_i b_j, c_k>: the queries are (i, j), the keys k.
        queries = (anchor[:, None] * b[None]).flatten(0, 1)  # N J x D
        # j == i admits k != i; j != i admits every k. The code of such queries is nobody's.
        code = torch.where(own[:, None] == ids, own[:, None], -1).flatten()
        scores = scores_of(queries, c, scale, normalized=False)
        (r,) = row_statistics(scores, [Statistic("lse", other(code, own))], path=path)
        return r.view(len(anchor), len(ids)).logsumexp(1)

    here = again()

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), here  # the backward pass makes blocks again

    parts = []
    for start in range(0, len(b), BLOCK):
        ids = torch.arange(start, min(start + BLOCK, len(b)), device=own.device)
        part = checkpoint(
            block, anchor, b[ids], c, scale, ids, use_reentrant=False, context_fn=contexts
        )
        parts.append(part)
    return torch.stack(parts).logsumexp(0)


class Symile(Loss):
    """:func:`symile` as a module: ``forward(modalities)``, with ``generator=`` at the call."""

    function = staticmethod(symile)
    inputs = frozenset({"generator"})
