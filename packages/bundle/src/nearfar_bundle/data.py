"""From a path to a split."""

from __future__ import annotations

from pathlib import Path

from nearfar_bundle.catalogue import Catalogue
from nearfar_bundle.readers import read
from nearfar_bundle.settings import BundleSettings
from nearfar_bundle.split import Split, given_by, split_bundles

__all__ = ["split_from", "split_of"]


def split_from(
    path: Path, settings: BundleSettings, seed: int = 0, layout: str | None = None
) -> Split:
    return split_of(read(path, layout), settings, seed)


def split_of(known: Catalogue, settings: BundleSettings, seed: int = 0) -> Split:
    """The honest split of a catalogue, or its own."""
    if settings.split == "given":
        return given_by(known)
    return split_bundles(
        known, seed, valid_share=settings.valid_share, test_share=settings.test_share,
        shown_share=settings.shown_share, near=settings.near,
    )  # fmt: skip
