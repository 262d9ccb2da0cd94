"""From items' vectors to a bundle's: CLHE's attention, and what it is compared with.

All take items [B, L, width] and which of them are there [B, L], and give [B, width].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pack_padded_sequence

from nearfar_bundle.encoder import attend, mean_of
from nearfar_bundle.settings import BundleSettings

__all__ = ["AttentionEncoder", "Denoising", "Recurrent", "Transformer", "Variational", "encoder_of"]


class AttentionEncoder(nn.Module):
    """One layer of self-attention and the mean, in no order. Ma et al. 2024, CLHE."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)

    def forward(self, items: Tensor, present: Tensor) -> Tensor:
        x = layer_norm(items, items.shape[-1:])
        return mean_of(attend(self.query(x), self.key(x), x, present), present)


class Denoising(nn.Module):
    """The mean of the items that chance leaves, and a layer. Liang et al. 2018, Multi-DAE.

    Args:
        noise: chance that an item is left out, in training.
    """

    def __init__(self, width: int, noise: float, outputs: int = 1) -> None:
        super().__init__()
        self.noise = noise
        self.layer = nn.Linear(width, outputs * width)

    def mean(self, items: Tensor, present: Tensor) -> Tensor:
        if self.training:
            kept = present & (torch.rand(present.shape, device=present.device) >= self.noise)
            present = torch.where(kept.any(1, keepdim=True), kept, present)
        return mean_of(items, present)

    def forward(self, items: Tensor, present: Tensor) -> Tensor:
        return torch.tanh(self.layer(self.mean(items, present)))


class Variational(Denoising):
    """A normal distribution of bundles, its mean where nothing is learnt. Liang et al. 2018,
    Multi-VAE (arXiv 1802.05814)."""

    def __init__(self, width: int, noise: float) -> None:
        super().__init__(width, noise, outputs=2)

    def posterior(self, items: Tensor, present: Tensor) -> Normal:
        mean, log_variance = self.layer(self.mean(items, present)).chunk(2, dim=1)
        return Normal(mean, (log_variance / 2).exp(), validate_args=False)

    def forward(self, items: Tensor, present: Tensor) -> Tensor:
        return self.posterior(items, present).mean


class Recurrent(nn.Module):
    """The last states of an LSTM each way, items by their numbers. Han et al. 2017 (arXiv
    1707.05691)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.layer = nn.Linear(2 * width, width)

    def forward(self, items: Tensor, present: Tensor) -> Tensor:
        # Items that are there come first, or the length would not tell which they are.
        order = (~present).long().argsort(dim=1, stable=True)
        x = items.gather(1, order[:, :, None].expand_as(items))
        length = present.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(packed)
        found: Tensor = self.layer(torch.cat([last[0], last[1]], 1))
        return found


class Transformer(nn.Module):
    """A layer of Vaswani et al. 2017 (arXiv 1706.03762) without positions, and the mean."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            width, nhead=1, dim_feedforward=2 * width, dropout=dropout, batch_first=True
        )

    def forward(self, items: Tensor, present: Tensor) -> Tensor:
        return mean_of(self.layer(items, src_key_padding_mask=~present), present)


def encoder_of(settings: BundleSettings) -> nn.Module:
    """The encoder that ``settings.bundle_encoder`` names."""
    width = settings.width
    match settings.bundle_encoder:
        case "attention":
            return AttentionEncoder(width)
        case "denoising":
            return Denoising(width, settings.bundle_noise)
        case "variational":
            return Variational(width, settings.bundle_noise)
        case "recurrent":
            return Recurrent(width)
        case "transformer":
            return Transformer(width, settings.bundle_dropout)
