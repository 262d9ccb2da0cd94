"""What a batch is trained by: items found in full view of the catalogue, and two contrasts."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import cross_entropy

from nearfar.functional import info_nce, linear_binary_cross_entropy, linear_cross_entropy
from nearfar_bundle.augment import bundle_view, dropped, without_modalities
from nearfar_bundle.batches import Batch, padded
from nearfar_bundle.bundle_encoders import Variational
from nearfar_bundle.evidence import Items
from nearfar_bundle.model import Features, Model
from nearfar_bundle.place import ALONE, Place

__all__ = ["objective"]

PASSED_OVER = -1e9


def objective(
    model: Model, batch: Batch, features: Features, chance: torch.Generator,
    place: Place = ALONE,
) -> Tensor:  # fmt: skip
    """``L_found + alpha1 L_items + alpha2 L_bundles + decay of words``: [].

    Args:
        batch: of all processes. place: this one, whose loss is of its share of the bundles, so that
            the mean over processes, of gradients too, is that of the batch.
    """
    own, mine = model.settings, batch.rows(place.rows)
    weight = place.world * len(mine) / len(batch)
    total = torch.zeros((), device=model.device)
    hidden_states = vectors = None
    if model.items is not None:
        items, present = padded(mine.shown, model.device)
        numbers, at = torch.unique(items, return_inverse=True)
        shown = model.encoded(features, numbers)
        vectors = model.targets(features, mine.candidates)
        if isinstance(model.bundles, Variational):
            posterior = model.bundles.posterior(shown[at], present)
            hidden_states = model.output(posterior.rsample())
            total = total + weight * own.kl_weight * from_standard(posterior)
        else:
            hidden_states = model.bundle(shown[at], present)
        if own.item_views != "none" and own.item_weight:
            total = total + own.item_weight * item_contrast(model, features, batch, chance, place)
        if own.bundle_views != "none" and own.bundle_weight:
            contrast = bundle_contrast(model, features, batch, chance, place)
            total = total + own.bundle_weight * contrast
    if model.evidence is None:
        assert hidden_states is not None
        assert vectors is not None
        if own.loss == "bce":
            found = found_one_by_one(hidden_states, vectors, model.bias, mine)
        else:
            found = found_by_product(hidden_states, vectors, mine)
        return total + weight * found
    queries = [query.to(model.device) for query in mine.queries]
    scores = model.evidence(queries, Items(model.evidence.blocks, mine.candidates))
    scores = scores + _without_kin(model, mine)
    if hidden_states is not None and vectors is not None:
        scores = scores + hidden_states @ vectors.T
    total = total + own.word_decay * model.evidence.decay()
    return total + weight * found_by_score(scores, mine)


def found_by_product(states: Tensor, vectors: Tensor, batch: Batch) -> Tensor:
    """Multinomial likelihood of the hidden items, scores being inner products: []."""
    row, column, weight = _hidden(batch)
    losses = linear_cross_entropy(
        states[row], vectors, column, bias=batch.share.log(), reduction="none"
    )
    return (losses * weight).sum() / len(states)


def found_one_by_one(states: Tensor, vectors: Tensor, bias: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy of all items, over each bundle's number of hidden ones: []."""
    items, there = padded(batch.hidden, states.device)
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
    scores = (scores + batch.share.log()).index_put(shown, scores.new_tensor(PASSED_OVER))
    return cross_entropy(scores, wanted)


def item_contrast(
    model: Model, features: Features, batch: Batch, chance: torch.Generator, place: Place = ALONE
) -> Tensor:
    """InfoNCE between the batch's items, each once, and other views of them."""
    own = model.settings
    assert model.items is not None
    every = torch.from_numpy(np.unique(batch.whole.indices).astype(np.int64))
    numbers = every[place.rows].to(model.device)
    tokens, present = model.tokens(model.items, features, numbers)
    fused = model.items.fuse(tokens, present)
    if own.item_views == "modalities":
        less = without_modalities(present, own.item_dropout, chance)
        view = model.items.fuse(tokens, less)
    elif own.item_views == "dropout":
        view = model.projector(dropped(fused, own.item_dropout, chance))
    elif own.item_views == "noise":
        noise = torch.randn(fused.shape, generator=chance).to(fused.device)
        view = model.projector(fused + own.item_noise * noise)
    else:
        view = fused
    return info_nce(fused, view, temperature=own.item_temperature, group=place.group)


def bundle_contrast(
    model: Model, features: Features, batch: Batch, chance: torch.Generator, place: Place = ALONE
) -> Tensor:
    """InfoNCE between bundles and other views of them."""
    own = model.settings
    items, present = padded(batch.whole[place.rows])
    other, other_present = bundle_view(
        items, present, own.bundle_views, own.bundle_ratio, len(features), chance
    )
    both = torch.cat([items, other], 1).to(model.device)
    numbers, at = torch.unique(both, return_inverse=True)
    vectors = model.encoded(features, numbers)[at]
    length = items.shape[1]
    return info_nce(
        model.bundles(vectors[:, :length], present.to(model.device)),
        model.bundles(vectors[:, length:], other_present.to(model.device)),
        temperature=own.bundle_temperature, group=place.group,
    )  # fmt: skip


def _hidden(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, places among the candidates and weights 1 / |hidden| of the items to be found."""
    row, column = _columns(batch, batch.hidden)
    size = torch.from_numpy(np.diff(batch.hidden.indptr)).float().to(row.device)
    return row, column, 1 / size[row]


def _columns(batch: Batch, held: csr_matrix) -> tuple[Tensor, Tensor]:
    at, device = held.tocoo(), batch.candidates.device
    column = torch.searchsorted(batch.candidates, torch.from_numpy(at.col).long().to(device))
    return torch.from_numpy(at.row).long().to(device), column


def _without_kin(model: Model, batch: Batch) -> Tensor:
    """[B, C], what popularity loses where the bundle and its kin are not counted."""
    assert model.evidence is not None
    row, column = _columns(batch, batch.kin)
    degree = model.evidence.degrees[batch.candidates[column]]
    left = degree - torch.from_numpy(batch.kin.tocoo().data).to(degree)
    less = model.evidence.alone(left) - model.evidence.alone(degree)
    empty = less.new_zeros(len(batch), len(batch.candidates))
    return empty.index_put((row, column), less)
