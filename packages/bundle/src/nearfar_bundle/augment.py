"""Second views of items and of bundles, for the contrasts."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar_bundle.settings import BundleViews

__all__ = ["bundle_view", "dropped", "without_modalities"]


def without_modalities(present: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Which tokens [n, M] are left, each gone with that chance; one of those there always stays."""
    chance = torch.rand(present.shape, generator=generator).to(present.device)
    kept = present & (chance >= share)
    lost = ~kept.any(1) & present.any(1)
    kept[lost, present[lost].float().argmax(1)] = True
    return kept


def dropped(rows: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Numbers are zero with that chance, the others larger, so that the mean stays."""
    kept = (torch.rand(rows.shape, generator=generator) >= share).to(rows.device)
    return rows * kept / (1 - share)


def bundle_view(
    items: Tensor, present: Tensor, how: BundleViews, ratio: float, catalogue: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Another view of each bundle: items [B, L], mask [B, L] -> the same of the view.

    Of n items ``round(ratio n)`` by chance are kept, from one to n - 1 (of one item, the one).
    ``drop`` lets the others go, ``replace`` puts any items of the catalogue there, and ``add`` puts
    ``round(ratio n)`` more beside all.
    """
    size = present.sum(1)
    chance = torch.rand(items.shape, generator=generator).masked_fill(~present, 2.0)
    order = chance.argsort(1)
    shuffled = items.gather(1, order)
    place = torch.arange(items.shape[1])
    if how == "add":
        more = (ratio * size).round().long().clamp(min=1)
        extra = torch.randint(catalogue, (len(items), int(more.max())), generator=generator)
        own = torch.arange(extra.shape[1]) < more[:, None]
        return torch.cat([items, extra], 1), torch.cat([present, own], 1)
    kept = (ratio * size).round().long().clamp(min=1)
    kept = torch.minimum(kept, (size - 1).clamp(min=1))
    stays = place < kept[:, None]
    inside = place < size[:, None]
    if how == "replace":
        others = torch.randint(catalogue, items.shape, generator=generator)
        return torch.where(stays, shuffled, others), inside
    return shuffled, stays
