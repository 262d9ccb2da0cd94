"""From a path to a split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from nearfar_bundle.catalogue import Catalogue
from nearfar_bundle.readers import read
from nearfar_bundle.sentences import told_by_sentences
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.split import Split, given_by, split_bundles

__all__ = ["split_from", "split_of", "with_missing"]


def split_from(
    path: Path, settings: BundleSettings, seed: int = 0, layout: str | None = None
) -> Split:
    return split_of(read(path, layout), settings, seed)


def split_of(known: Catalogue, settings: BundleSettings, seed: int = 0) -> Split:
    """The honest split of a catalogue, or its own."""
    if settings.missing:
        known = with_missing(known, settings.missing, seed)
    if settings.sentences:
        told = told_by_sentences(known.texts, settings.sentences)
        known = replace(known, vectors=known.vectors | told)
    if settings.split == "given":
        split = given_by(known)
    else:
        split = split_bundles(
            known, seed, valid_share=settings.valid_share, test_share=settings.test_share,
            shown_share=settings.shown_share, near=settings.near,
        )  # fmt: skip
    large = int((np.diff(split.training.indptr) > settings.longest).sum())
    if not large:
        return split
    note = (
        f"{large} training bundles hold more than {settings.longest} items (longest): so many of "
        "each, drawn anew each time, are learnt from"
    )
    return replace(split, notes=(*split.notes, note))


def with_missing(known: Catalogue, share: float, seed: int = 0) -> Catalogue:
    """Each item loses each of its texts, labels and vectors with that chance."""
    rng = np.random.default_rng(seed)

    def gone() -> list[bool]:
        return [bool(out) for out in rng.random(len(known)) < share]

    texts = {
        name: ["" if out else text for text, out in zip(own, gone(), strict=True)]
        for name, own in known.texts.items()
    }
    labels = {
        name: [() if out else label for label, out in zip(own, gone(), strict=True)]
        for name, own in known.labels.items()
    }
    vectors = {
        name: np.where(np.array(gone())[:, None], np.float32(np.nan), own)
        for name, own in known.vectors.items()
    }
    return replace(known, texts=texts, labels=labels, vectors=vectors)
