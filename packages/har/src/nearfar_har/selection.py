"""Device selection: which devices are an anchor's positives and negatives, and how near they are.

Devices whose movement is alike in distribution make good positives; the distance is the squared
maximum mean discrepancy of their windows (Gretton et al. 2012), as in ColloSSL (Jain et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Chosen", "Policy", "choose", "device_distances"]

Policy = Literal["closest", "hard_negatives", "random", "all"]

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


def device_distances(signals: Tensor, present: Tensor, most: int = 128) -> Tensor:
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
    within = [_kernel_mean(s, s) if len(s) else torch.inf for s in samples]
    distances = torch.zeros(count, count)
    for a in range(count):
        for b in range(a + 1, count):
            if len(samples[a]) and len(samples[b]):
                mmd = within[a] + within[b] - 2 * _kernel_mean(samples[a], samples[b])
                distances[a, b] = distances[b, a] = max(SMALLEST, float(mmd))
            else:
                distances[a, b] = distances[b, a] = torch.inf
    return distances


def _kernel_mean(u: Tensor, v: Tensor) -> float:
    """Mean of the sum of Gaussian kernels over all pairs (the biased V-statistic)."""
    squared = torch.cdist(u, v).square()
    return float(sum((squared / (-2 * g)).exp().mean() for g in BANDWIDTHS))


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
