"""From a path and settings to a split: read, filtered, divided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from nearfar_kit import layouts
from nearfar_kit.errors import UserError
from nearfar_seqrec.batches import check_trainable
from nearfar_seqrec.features import read_features
from nearfar_seqrec.filtering import dense_core
from nearfar_seqrec.readers import LAYOUTS, read
from nearfar_seqrec.sequences import Sequences
from nearfar_seqrec.settings import SeqrecSettings
from nearfar_seqrec.split import Split, by_time, leave_one_out

__all__ = ["data_sets", "ml_100k", "read_options", "split_from", "split_of"]


def split_from(
    path: Path,
    settings: SeqrecSettings,
    layout: str | None = None,
    options: dict[str, Any] | None = None,
) -> Split:
    """The data set at ``path`` as the settings want it; ``ml-100k`` is RecBole's own.

    Raises:
        UserError: the data is at fault, or nothing is left of it.
    """
    path = _located(path)
    sequences = read(path, layout, **(options or {}))
    return split_of(sequences, settings, where=f"{path}: ")


def data_sets(path: Path) -> list[Path]:
    """The data sets at a path: itself, or, of a folder that is none, those in it.

    Raises:
        UserError: nothing is there, or a folder holds none.
    """
    return layouts.data_sets(LAYOUTS, _located(path), files=True)


def _located(path: Path) -> Path:
    return ml_100k() if str(path) == "ml-100k" and not path.exists() else path


def split_of(sequences: Sequences, settings: SeqrecSettings, where: str = "") -> Split:
    """Sequences filtered and divided as the settings want it, and what is known of their items.

    Args:
        where: what stands before an error, such as the file.
    """
    try:
        split = _divided(sequences, settings)
    except UserError as error:
        raise UserError(f"{where}{error}") from None
    if settings.features is None:
        return split
    items = split.sequences.items.tolist()
    found = read_features(settings.features, items, settings.feature_fields)
    return replace(split, features=found)


def _divided(sequences: Sequences, settings: SeqrecSettings) -> Split:
    kept = dense_core(
        sequences, settings.user_min, settings.item_min, settings.most, settings.recent
    )
    if settings.split == "time":
        split = by_time(kept, settings.valid_share, settings.test_share)
    else:
        split = leave_one_out(kept)
    check_trainable(split)
    return split


def ml_100k() -> Path:
    """MovieLens 100k, which RecBole carries."""
    from importlib.util import find_spec

    spec = find_spec("recbole")
    if spec is None or spec.origin is None:
        raise UserError("ml-100k: comes with recbole, which is not installed")
    return Path(spec.origin).parent / "dataset_example" / "ml-100k"


def read_options(given: list[str] | None) -> dict[str, str]:
    """``--read key=value`` options of a reader."""
    options = {}
    for item in given or []:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UserError(f"--read {item}: expected key=value")
        options[key] = value
    return options
