"""An encoder over canonical k-mer composition: small, alike on either strand, quick on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from nearfar_dna.alphabet import Codes
from nearfar_dna.composition import canonical_fold, canonical_frequencies
from nearfar_dna.encoders.encoder import Encoder, Hidden

__all__ = ["CompositionEncoder"]


class CompositionEncoder(Encoder):
    """Standardised frequencies of canonical k-mers, residual layers, and a linear map.

    Layers begin as the identity, so that with the map :meth:`begin_whitened` sets, the encoder
    begins as a linear metric in which fragments of one genome differ alike in all directions; with
    an identity map it is z-scored canonical TNF itself.

    The map is the last of the layers, so that samples can be mixed before it too.

    Args:
        sizes: the k of the k-mers. width: of the rows. depth, hidden: residual layers and their
            width.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, sizes: Sequence[int], width: int, depth: int, hidden: int) -> None:
        super().__init__()
        self.sizes, self.width = tuple(sizes), width
        features = sum(int(canonical_fold(k).max()) + 1 for k in sizes)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        residual = [_Residual(features, hidden) for _ in range(depth)]
        self.layers = nn.ModuleList([*residual, _Map(features, width)])

    def prepare(self, sequences: Sequence[Codes]) -> Tensor:
        """[N, features] square roots of frequencies: their sampling noise is alike in all."""
        parts = [np.sqrt(canonical_frequencies(sequences, k)) for k in self.sizes]
        return torch.from_numpy(np.concatenate(parts, axis=1))

    def begin(self, prepared: Tensor) -> Hidden:
        return Hidden((prepared - self.mean) / self.spread)

    def end(self, hidden: Hidden) -> Tensor:
        return hidden.values

    @torch.no_grad()
    def begin_whitened(self, prepared: Tensor, genome: Tensor, shrinkage: float = 0.1) -> None:
        """Scales and a first map from fragments of known genomes.

        The map is the ``width`` directions in which fragments vary most, where those of one genome
        vary by one: within-class covariance normalisation (Hatch et al. 2006), genomes as classes.

        Args:
            prepared: [P, features]. genome: [P].
            shrinkage: share of the covariance's diagonal.
        """
        x = prepared.double()
        mean, spread = x.mean(0), x.std(0).clamp(min=1e-6)
        self.mean.copy_(mean)
        self.spread.copy_(spread)
        x = (x - mean) / spread
        count = torch.bincount(genome).double()
        centre = x.new_zeros(len(count), x.shape[1]).index_add(0, genome, x)
        centre = centre / count.clamp(min=1)[:, None]
        within = x - centre[genome]
        covariance = within.T @ within / len(x)
        diagonal = torch.diag(covariance.diagonal().clamp(min=1e-6))
        covariance = (1 - shrinkage) * covariance + shrinkage * diagonal
        values, vectors = torch.linalg.eigh(covariance)
        whitening = vectors / values.clamp(min=1e-9).sqrt()  # features x features
        z = x @ whitening
        _, axes = torch.linalg.eigh(z.T @ z / len(z))
        kept = whitening @ axes[:, -self.width :]
        # Any rotation is the same metric; in this one all columns vary alike, so that a reader who
        # standardises columns, as probes do, does not weigh up those that vary least.
        kept = kept @ torch.linalg.qr(torch.randn(kept.shape[1], kept.shape[1]).double())[0]
        last = self.layers[-1]
        assert isinstance(last, _Map)
        last.weight.zero_()
        last.weight[: kept.shape[1]].copy_(kept.T)
        last.bias.zero_()


class _Map(nn.Linear):
    def forward(self, hidden: Hidden) -> Hidden:  # type: ignore[override]
        return Hidden(super().forward(hidden.values), hidden.mask)


class _Residual(nn.Module):
    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.into = nn.Linear(features, hidden)
        self.out = nn.Linear(hidden, features)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, hidden: Hidden) -> Hidden:
        return Hidden(hidden.values + self.out(gelu(self.into(hidden.values))), hidden.mask)
