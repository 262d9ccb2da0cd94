"""Adversarial examples in the space of embeddings: the small step that raises the loss the most."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["adversarial"]


def adversarial(
    embeddings: Tensor,
    loss: Callable[[Tensor], Tensor],
    *,
    epsilon: float,
    steps: int = 1,
) -> Tensor:
    """``embeddings`` moved to where ``loss`` is higher, within ``epsilon`` of each one's own norm.

    One step is FGM, ``e + epsilon |e| g / |g|`` (Miyato et al. 2017, arXiv 1605.07725); more are
    PGD, each projected to the ball (Madry et al. 2018, arXiv 1706.06083). The sign is plus: a step
    against the gradient would make the example easier.

    Args:
        embeddings: [B, m, D]; ball and step are those of a row's [m, D] as one vector.
        loss: embeddings -> a number.
        epsilon: radius as a share of the norm.

    Returns:
        [B, m, D] without gradient.
    """
    start = embeddings.detach()
    radius = epsilon * start.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]  # B x 1 x 1
    step = radius if steps == 1 else 1.5 * radius / steps
    moved = start
    for _ in range(steps):
        moved = moved.requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(loss(moved), moved)
        norm = slope.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
        change = moved.detach() + step * slope / norm - start
        length = change.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
        moved = start + change * (radius / length).clamp(max=1)
    return moved.detach()
