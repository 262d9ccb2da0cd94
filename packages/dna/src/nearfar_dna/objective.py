"""What a training step minimises: the paper's losses and their peers, all from the core."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nearfar.functional import hard_negative, mi_mix, nt_xent, sup_con
from nearfar.mixing import mix_rows
from nearfar.targets import Listed
from nearfar_dna.encoders import Encoder, Hidden, encode
from nearfar_dna.settings import DnaSettings

__all__ = ["Method", "method_at", "mixed_loss", "pair_loss"]

Method = Literal["simclr", "weighted_simclr", "sup_con", "i_mix", "mi_mix"]


def method_at(settings: DnaSettings, done: int) -> Method:
    """The method of a step: C2LR's first third is Weighted SimCLR, the rest MI-Mix.

    Zhou et al. 2024 (arXiv 2402.08777).
    """
    if settings.method != "c2lr":
        return settings.method
    return "weighted_simclr" if 3 * done < settings.steps else "mi_mix"


def pair_loss(
    method: Method,
    first: Tensor,
    second: Tensor,
    species: Tensor,
    temperature: float,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """The loss of embedded pairs [B, D]; a species is in a batch once, so none is a negative.

    SupCon, whose positives are all of a species, takes any number.
    """
    if method == "sup_con":
        rows, labels = torch.cat([first, second]), species.repeat(2)
        return sup_con(rows, labels, temperature=temperature, group=group)
    if method == "weighted_simclr":
        return hard_negative(
            first, second, beta=1.0, tau_plus=0.0, temperature=temperature, group=group
        )
    return nt_xent(first, second, temperature=temperature, group=group)


def mixed_loss(
    encoder: Encoder,
    head: nn.Module,
    first: Tensor,
    second: Tensor,
    *,
    at: int,
    alpha: float,
    hardness: float = 0.0,
    temperature: float,
    generator: torch.Generator | None = None,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """MI-Mix (i-Mix at layer 0): the first view is mixed inside the encoder, the second is not.

    Each sample's own share comes from Beta(alpha, alpha), its larger part; a token is there where
    both samples have one. The cross-entropy has the shares as its targets; the mixture's partner is
    of the same process, its negatives are of all.

    Args:
        first, second: prepared views [B, ...]. at: the layer whose input is mixed.
        hardness: 0 is the paper's form; 1 weighs negatives as the authors' code does.
    """
    kept: dict[str, Any] = {}

    def mix(hidden: Hidden) -> Hidden:
        values, targets = mix_rows(
            hidden.values, alpha=alpha, chance=1.0, majority=True, generator=generator
        )
        kept["targets"] = targets
        mask = hidden.mask
        if mask is not None:
            mask = mask & mask[targets.index[:, 1]]
        return Hidden(values, mask)

    mixed = head(encode(encoder, first, at, mix))
    clean = head(encode(encoder, second))
    targets: Listed = kept["targets"]
    return mi_mix(mixed, clean, targets, beta=hardness, temperature=temperature, group=group)
