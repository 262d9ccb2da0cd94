"""Device selection: which devices are an anchor's positives and negatives, and how near they are.

Devices whose movement is alike in distribution make good positives; the distance is the squared
maximum mean discrepancy of their windows (Gretton et al. 2012), as in ColloSSL (Jain et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar_har.settings import Policy

__all__ = ["Chosen", "choose", "device_distances"]

BANDWIDTHS = (1e-4, 1e-3, 1e-2, 0.1, 1, 5, 10, 15, 20, 25, 30, 100)
# The bandwidths were set for acceleration over 30 m/s^2; scaled signals have a root mean square of
# 1, which gravity makes about 10 m/s^2.
ACCELERATION_UNIT = 3.0
SMALLEST = 1e-4  # of a distance: its inverse is a weight


@dataclass(frozen=True)
class Chosen:
    """Device numbers and their weights, for one anchor device."""

    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    negative_weights: Tensor  # [negatives], the largest is 1


def device_distances(signals: Tensor, present: Tensor, most: int = 48) -> Tensor:
    """MMD^2 between all pairs of devices: [devices, devices], symmetric, 0 on the diagonal.

    Args:
        signals: [B, devices, 6, W], scaled.
        present: [B, devices]; a device's windows are those where it is present. A device with none
            is infinitely far from all others.
        most: windows of each device at most; the cost grows with the square.
    """
    norms = signals[:, :, :3].norm(dim=2) / ACCELERATION_UNIT  # B x devices x W
    count = norms.shape[1]
    samples = [norms[present[:, d], d][:most] for d in range(count)]
    every = torch.cat(samples)
    squared = torch.cdist(every, every).square()
    kernel = sum((squared / (-2 * g)).exp() for g in BANDWIDTHS)
    # Means of the blocks (a, b) of the kernel matrix: the biased V-statistic.
    member = torch.nn.functional.one_hot(
        torch.repeat_interleave(torch.arange(count), torch.tensor([len(s) for s in samples])), count
    ).to(norms)
    mean = member / member.sum(0)  # NaN for a device without windows
    blocks = (mean.T @ kernel @ mean).cpu()
    blocks = (blocks + blocks.T) / 2  # products round differently on the two sides
    within = blocks.diagonal()
    distances = (within[:, None] + within - 2 * blocks).clamp(min=SMALLEST)
    return distances.nan_to_num(torch.inf).fill_diagonal_(0)


def choose(
    anchor: int,
    distances: Tensor,
    policy: Policy = "closest",
    generator: torch.Generator | None = None,
) -> Chosen:
    """Positives and negatives of an anchor device.

    ========== ============================== ============================================
    policy     positives                      negatives
    ========== ============================== ============================================
    closest    the nearest device             all others, the positive too (the paper's default)
    hard_...   the nearest device             the next two
    random     one other device by chance     all others
    all        all other devices              all others
    ========== ============================== ============================================

    A negative's weight is 1 / distance over the largest: nearer is harder, hence heavier. Devices
    at infinite distance (absent) are neither.
    """
    near = distances[anchor].clone()
    near[anchor] = torch.inf
    order: Sequence[int] = [int(d) for d in near.argsort() if not near[d].isinf()]
    if not order:
        return Chosen((), (), torch.zeros(0))
    positives, negatives = tuple(order[:1]), tuple(order)
    if policy == "hard_negatives":
        negatives = tuple(order[1:3]) or negatives
    elif policy == "random":
        pick = int(torch.randint(len(order), (), generator=generator))
        positives = (order[pick],)
    elif policy == "all":
        positives = tuple(order)
    weights = 1 / near[list(negatives)]
    return Chosen(positives, negatives, weights / weights.max())
