"""Mixtures of rows: harder negatives, softer positives, and labels between labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import normalize

from nearfar.nearest import nearest
from nearfar.targets import Listed

__all__ = ["hard_mixtures", "label_mixtures", "mix_rows"]


@torch.no_grad()
def hard_mixtures(
    queries: Tensor,
    negatives: Tensor,
    *,
    hardest: int = 1024,
    between_negatives: int = 1024,
    with_query: int = 128,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Synthetic negatives of each query [N, between_negatives + with_query, D], without gradient.

    MoCHi, Kalantidis et al. 2020 (arXiv 2010.01028): of a query's ``hardest`` negatives, convex
    mixtures of two of them, and of one with the query itself (its share below a half), normalised.

    Args:
        queries: [N, D], unit rows. negatives: [M, D], unit rows, say a queue.
        hardest: how many of the nearest are mixed; at most M are.
        between_negatives, with_query: how many of either kind a query.

    Example:
        >>> mixed = hard_mixtures(torch.eye(3), torch.eye(3), hardest=2, between_negatives=4,
        ...                       with_query=1)
        >>> mixed.shape
        torch.Size([3, 5, 3])
    """
    n, hardest = len(queries), min(hardest, len(negatives))
    index, _ = nearest(queries, negatives, hardest)

    def pick(count: int) -> Tensor:
        column = torch.randint(hardest, (n, count), **_chance(generator)).to(index)
        return negatives[index.gather(1, column)]  # n x count x D

    def share(count: int, below: float) -> Tensor:
        return below * torch.rand(n, count, 1, **_chance(generator)).to(queries)

    a = share(between_negatives, 1.0)
    first = a * pick(between_negatives) + (1 - a) * pick(between_negatives)
    b = share(with_query, 0.5)
    second = b * queries[:, None] + (1 - b) * pick(with_query)
    return normalize(torch.cat([first, second], 1), dim=2)


def mix_rows(
    rows: Tensor,
    *,
    alpha: float = 0.15,
    chance: float = 0.5,
    majority: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Listed]:
    """Mixtures of rows, and what each is a mixture of: targets for ``soft_targets``.

    ``z_i <- b_i z_i + (1 - b_i) z_perm(i)`` with b from Beta(alpha, alpha) for a share ``chance``
    of rows, the others left alone: M3CoL (Kumar and Singhal 2024, arXiv 2409.17777), and of inputs
    or hidden layers MixCo and MI-Mix. No row is mixed with itself.

    Args:
        rows: [N, ...]; inputs, hidden layers or embeddings.
        majority: a row's own share is the larger one, as in DNABERT-S (arXiv 2402.08777).

    Returns:
        The mixtures [N, ...], and targets with two keys a row: itself and its partner.

    Example:
        >>> mixed, targets = mix_rows(torch.eye(4), chance=1.0)
        >>> torch.allclose(targets.sums(torch.eye(4)), mixed)
        True
    """
    n = len(rows)
    b = _beta(alpha, alpha, n, generator)
    if majority:
        b = torch.maximum(b, 1 - b)
    left_alone = torch.rand(n, **_chance(generator)).cpu() >= chance
    if n == 1:
        left_alone[:] = True
    b = torch.where(left_alone, torch.ones(()), b).to(rows)
    # A random cycle through all rows: each row's partner is another row.
    cycle = torch.randperm(n, **_chance(generator))
    partner = torch.empty_like(cycle)
    partner[cycle] = cycle.roll(1)
    partner = partner.to(rows.device)
    share = b.view(-1, *[1] * (rows.ndim - 1))
    own = torch.arange(n, device=rows.device)
    targets = Listed(torch.stack([own, partner], 1), torch.stack([b, 1 - b], 1))
    return share * rows + (1 - share) * rows[partner], targets


def _chance(generator: torch.Generator | None) -> dict[str, Any]:
    """Where to draw: on the generator's device, and else on the CPU, whatever the default."""
    return {"generator": generator, "device": "cpu" if generator is None else generator.device}


def _beta(a: float, b: float, n: int, generator: torch.Generator | None) -> Tensor:
    """Draws [n] of Beta(a, b), which torch gives from its global generator alone."""
    seed = int(torch.randint(2**31, (), **_chance(generator)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Beta(a, b).sample((n,))


@torch.no_grad()
def label_mixtures(
    embeddings: Tensor,
    labels: Tensor,
    *,
    window: float = 5.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """SupReMix's mixtures (arXiv 2309.16633): hard negatives and positives, without gradient.

    A negative of row i is ``a z_i + (1 - a) z_k`` with a from Beta(2, 8) and another label; a
    positive ``a z_j + (1 - a) z_k`` of labels below and above i's, within ``window``, with a set so
    that the mixed label is i's. Rows for which there is none are left out.

    Returns:
        Mixtures [m, D] and their labels [m], for ``sup_remix(..., reference=, reference_labels=)``.
    """
    n, y = len(embeddings), labels.to(torch.float64)
    gap = y[None, :] - y[:, None]  # n x n; a batch's, not a data set's

    def one_of(allowed: Tensor) -> tuple[Tensor, Tensor]:
        """A random allowed column of each row that has one, and which rows have."""
        some = allowed.any(1)
        index = torch.zeros(n, dtype=torch.int64, device=embeddings.device)
        if some.any():
            weights = allowed[some].double().to(_chance(generator)["device"])
            drawn = torch.multinomial(weights, 1, generator=generator)[:, 0]
            index[some] = drawn.to(index)
        return index, some

    def mixture(a: Tensor, i: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        rows = a[:, None].to(embeddings)
        return rows * embeddings[i] + (1 - rows) * embeddings[k], a * y[i] + (1 - a) * y[k]

    own = torch.arange(n, device=embeddings.device)
    other, has_other = one_of(gap != 0)
    negative, of_negative = mixture(_beta(2.0, 8.0, n, generator).to(y), own, other)
    below, has_below = one_of((gap < 0) & (gap > -window))
    above, has_above = one_of((gap > 0) & (gap < window))
    between = (y[above] - y[below]).clamp(min=1e-12)
    positive, _ = mixture((y[above] - y) / between, below, above)
    both = has_below & has_above
    mixed = torch.cat([negative[has_other], positive[both]])
    return mixed, torch.cat([of_negative[has_other], y[both]]).to(labels.dtype)
