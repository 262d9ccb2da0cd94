"""What a batch is trained by: items found in full view of the catalogue, and two contrasts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import cross_entropy

from nearfar.functional import info_nce, linear_binary_cross_entropy, linear_cross_entropy
from nearfar_bundle.augment import bundle_view, dropped, without_modalities
from nearfar_bundle.batches import Batch, padded
from nearfar_bundle.bundle_encoders import Variational
from nearfar_bundle.evidence import Items
from nearfar_bundle.model import Features, Model

__all__ = ["objective"]

PASSED_OVER = -1e9


def objective(model: Model, batch: Batch, features: Features, chance: torch.Generator) -> Tensor:
    """``L_found + alpha1 L_items + alpha2 L_bundles + decay of words``: []."""
    own = model.settings
    total = torch.zeros(())
    hidden_states = vectors = None
    if model.items is not None:
        items, present = padded(batch.shown)
        numbers, place = torch.unique(items, return_inverse=True)
        shown = model.encoded(features, numbers)
        vectors = model.targets(features, batch.candidates)
        if isinstance(model.bundles, Variational):
            posterior = model.bundles.posterior(shown[place], present)
            hidden_states = model.output(posterior.rsample())
            total = total + own.kl_weight * from_standard(posterior)
        else:
            hidden_states = model.bundle(shown[place], present)
        if own.item_views != "none" and own.item_weight:
            total = total + own.item_weight * item_contrast(model, features, batch, chance)
        if own.bundle_views != "none" and own.bundle_weight:
            total = total + own.bundle_weight * bundle_contrast(model, features, batch, chance)
    if model.evidence is None:
        assert hidden_states is not None
        assert vectors is not None
        if own.loss == "bce":
            return total + found_one_by_one(hidden_states, vectors, model.bias, batch)
        return total + found_by_product(hidden_states, vectors, batch)
    scores = model.evidence(batch.queries, Items(model.evidence.blocks, batch.candidates))
    scores = scores + _without_kin(model, batch)
    if hidden_states is not None and vectors is not None:
        scores = scores + hidden_states @ vectors.T
    return total + found_by_score(scores, batch) + own.word_decay * model.evidence.decay()


def found_by_product(states: Tensor, vectors: Tensor, batch: Batch) -> Tensor:
    """Multinomial likelihood of the hidden items, scores being inner products: []."""
    row, column, weight = _hidden(batch)
    losses = linear_cross_entropy(
        states[row], vectors, column, bias=batch.share.log(), reduction="none"
    )
    return (losses * weight).sum() / len(states)


def found_one_by_one(states: Tensor, vectors: Tensor, bias: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy of all items, over each bundle's number of hidden ones: []."""
    items, there = padded(batch.hidden)
    losses = linear_binary_cross_entropy(
        states, vectors, items.where(there, -1), bias=bias.expand(len(vectors)), reduction="none"
    )
    return (losses / there.sum(1)).mean()


def from_standard(posterior: Normal) -> Tensor:
    """The mean Kullback-Leibler divergence of bundles' normal distributions from N(0, 1): []."""
    zeros = torch.zeros_like(posterior.mean)
    standard = Normal(zeros, torch.ones_like(zeros), validate_args=False)
    return kl_divergence(posterior, standard).sum(1).mean()


def found_by_score(scores: Tensor, batch: Batch) -> Tensor:
    """The same of scores [B, C] that are no inner products; what is shown does not compete."""
    row, column, weight = _hidden(batch)
    wanted = torch.zeros_like(scores).index_put((row, column), weight)
    shown = _columns(batch, batch.shown)
    scores = (scores + batch.share.log()).index_put(shown, torch.tensor(PASSED_OVER))
    return cross_entropy(scores, wanted)


def item_contrast(
    model: Model, features: Features, batch: Batch, chance: torch.Generator
) -> Tensor:
    """InfoNCE between the batch's items and other views of them."""
    own = model.settings
    assert model.items is not None
    numbers = torch.from_numpy(np.unique(batch.whole.indices).astype(np.int64))
    tokens, present = model.tokens(model.items, features, numbers)
    fused = model.items.fuse(tokens, present)
    if own.item_views == "modalities":
        less = without_modalities(present, own.item_dropout, chance)
        view = model.items.fuse(tokens, less)
    elif own.item_views == "dropout":
        view = model.projector(dropped(fused, own.item_dropout, chance))
    elif own.item_views == "noise":
        noise = torch.randn(fused.shape, generator=chance)
        view = model.projector(fused + own.item_noise * noise)
    else:
        view = fused
    return info_nce(fused, view, temperature=own.item_temperature)


def bundle_contrast(
    model: Model, features: Features, batch: Batch, chance: torch.Generator
) -> Tensor:
    """InfoNCE between bundles and other views of them."""
    own = model.settings
    items, present = padded(batch.whole)
    other, other_present = bundle_view(
        items, present, own.bundle_views, own.bundle_ratio, len(features), chance
    )
    numbers, place = torch.unique(torch.cat([items, other], 1), return_inverse=True)
    vectors = model.encoded(features, numbers)[place]
    length = items.shape[1]
    return info_nce(
        model.bundles(vectors[:, :length], present),
        model.bundles(vectors[:, length:], other_present),
        temperature=own.bundle_temperature,
    )


def _hidden(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, places among the candidates and weights 1 / |hidden| of the items to be found."""
    row, column = _columns(batch, batch.hidden)
    size = torch.from_numpy(np.diff(batch.hidden.indptr)).float()
    return row, column, 1 / size[row]


def _columns(batch: Batch, held: object) -> tuple[Tensor, Tensor]:
    at = held.tocoo()  # type: ignore[attr-defined]
    place = torch.searchsorted(batch.candidates, torch.from_numpy(at.col).long())
    return torch.from_numpy(at.row).long(), place


def _without_kin(model: Model, batch: Batch) -> Tensor:
    """[B, C], what popularity loses where the bundle and its kin are not counted."""
    assert model.evidence is not None
    row, column = _columns(batch, batch.kin)
    degree = model.evidence.degrees[batch.candidates[column]]
    left = degree - torch.from_numpy(batch.kin.tocoo().data)
    less = model.evidence.alone(left) - model.evidence.alone(degree)
    empty = torch.zeros(batch.whole.shape[0], len(batch.candidates))
    return empty.index_put((row, column), less)
