"""A variational autoencoder of composition, as VAMB has without its abundances."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import mse_loss

from nearfar_dna.composition import Floats, standardised

__all__ = ["tnf_vae"]


def tnf_vae(
    tnf: Floats, *, latent: int = 32, hidden: int = 128, epochs: int = 60, seed: int = 0
) -> Floats:
    """Means [N, latent] of a VAE fitted on the rows themselves [N, F].

    Nissen et al. 2021 (doi 10.1038/s41587-020-00777-4): Gaussian latent, KL weight
    ``1 / (200 latent)``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.from_numpy(standardised(tnf))
        features = x.shape[1]
        into = nn.Sequential(
            nn.Linear(features, hidden), nn.LeakyReLU(), nn.BatchNorm1d(hidden), nn.Dropout(0.1)
        )
        mean, log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        back = nn.Sequential(
            nn.Linear(latent, hidden), nn.LeakyReLU(), nn.BatchNorm1d(hidden),
            nn.Linear(hidden, features),
        )  # fmt: skip
        parts = nn.ModuleList([into, mean, log_variance, back])
        optimizer = torch.optim.Adam(parts.parameters(), lr=1e-3)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(x)), 128):
                if len(rows) < 2:
                    continue
                h = into(x[rows])
                mu, lv = mean(h), log_variance(h)
                z = mu + torch.randn_like(mu) * (lv / 2).exp()
                kl = (mu.square() + lv.exp() - lv - 1).sum(1).mean() / 2
                loss = mse_loss(back(z), x[rows]) + kl / (200 * latent)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
        parts.eval()
        with torch.no_grad():
            rows_out: Floats = mean(into(x)).numpy()
    return rows_out
