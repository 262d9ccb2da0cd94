"""Items that come after training: what a model finds of them by their titles alone, measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from nearfar_bundle.builder import Builder
from nearfar_bundle.catalogue import Catalogue, Ints
from nearfar_bundle.ranking import Scores
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.split import Asked, Split
from nearfar_bundle.train import train

__all__ = ["Renumbered", "with_cold_items_later"]


@dataclass(frozen=True)
class Renumbered:
    """A builder whose items stand in another order.

    Attributes:
        place: [I], where the builder has each item.
    """

    builder: Builder
    place: Ints

    @property
    def size(self) -> int:
        return len(self.place)

    def scores(self, shown: csr_matrix) -> Scores:
        found = self.builder.scores(shown[:, np.argsort(self.place)])(slice(0, self.size))
        return lambda own: found[:, self.place[own]]


def with_cold_items_later(split: Split, settings: BundleSettings, seed: int) -> Renumbered:
    """A model trained without the items that no bundle of training or validation holds.

    They are added to it afterwards, with their texts and nothing else.
    """
    known = split.catalogue
    seen = np.asarray(known.bundles[np.append(split.train, split.valid.bundles)].sum(0)).ravel() > 0
    old, new = np.flatnonzero(seen), np.flatnonzero(~seen)
    texts = {name: [own[i] for i in new] for name, own in known.texts.items()}
    builder = train(only(split, old), settings, seed)
    more = builder.with_items([str(known.items[i]) for i in new], texts)
    place = np.empty(len(known), np.int64)
    place[np.append(old, new)] = np.arange(len(known))
    return Renumbered(more, place)


def only(split: Split, items: Ints) -> Split:
    """The split of a catalogue of those items alone; its test part is of no use."""
    known = split.catalogue
    number = np.full(len(known), -1, np.int64)
    number[items] = np.arange(len(items))
    feedback = known.feedback[number[known.feedback[:, 1]] >= 0]
    fewer = Catalogue(
        known.name, known.items[items], known.bundles[:, items].tocsr(), known.bundle_names,
        known.sessions,
        {name: [own[i] for i in items] for name, own in known.texts.items()},
        {name: [own[i] for i in items] for name, own in known.labels.items()},
        {name: own[items] for name, own in known.vectors.items()},
        np.stack([feedback[:, 0], number[feedback[:, 1]]], 1), known.owners,
    )  # fmt: skip
    parts = [
        Asked(own.bundles, own.shown[:, items].tocsr(), own.hidden[:, items].tocsr())
        for own in (split.valid, split.test)
    ]
    return replace(split, catalogue=fewer, valid=parts[0], test=parts[1])
