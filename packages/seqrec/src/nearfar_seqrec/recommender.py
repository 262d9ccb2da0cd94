"""The recommender that ``train`` leaves and ``recommend`` uses: a model, the items, the users."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar_kit.arrays import names_array
from nearfar_kit.checkpoint import check_kinds, model_state, restored, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_seqrec.features import ItemFeatures
from nearfar_seqrec.models import new_model
from nearfar_seqrec.scoring import ModelScorer
from nearfar_seqrec.sequences import Ints, Sequences
from nearfar_seqrec.settings import SeqrecSettings, Unknown

__all__ = ["Recommender"]

FORMAT = "nearfar-seqrec model 1"
SKIP = ", or --unknown skip"


@dataclass
class Recommender:
    """Everything needed to recommend.

    Attributes:
        sequences: all that is known of the users, what was held out included.
        model: a RecBole ``SequentialRecommender``, evaluating.
        history: the measures of each validation.
        epochs: trained.
        features: what the model knows of items, or None.
    """

    settings: SeqrecSettings
    sequences: Sequences
    model: Any
    history: list[dict[str, float]] = field(default_factory=list)
    epochs: int = 0
    features: ItemFeatures | None = None

    def scorer(self) -> ModelScorer:
        return ModelScorer(self.model)

    def renumbered(self, sequences: Sequences, where: str, unknown: Unknown = "auto") -> Sequences:
        """Other sequences with this model's item numbers; ``where`` they lie is for errors.

        Args:
            unknown: ``skip`` leaves unknown items out, and users who took no other, and notes tell;
                ``auto`` does so where no more than half of the interactions are of items that the
                training has never seen; to ``error`` each unknown item is one. Items that the
                filter of the training left out (``item_min``) have been seen.

        Raises:
            UserError: more is unknown than that, or nothing is known.
        """
        known = {str(name): n for n, name in enumerate(self.sequences.items, 1)}
        number = np.array([known.get(str(name), 0) for name in sequences.items], dtype=np.int64)
        flat = number[sequences.flat - 1]
        lost = flat == 0
        filtered = lost & np.isin(sequences.items, self.sequences.dropped)[sequences.flat - 1]
        new = lost & ~filtered
        strange = unknown == "auto" and 2 * new.sum() > len(lost)
        if lost.all() or strange or (lost.any() and unknown == "error"):
            first = int((new if new.any() else lost).argmax())
            user = str(sequences.users[sequences.user_of[first]])
            item = str(sequences.items[sequences.flat[first] - 1])
            raise UserError(
                f"{where}: item {item!r} of user {user!r} is unknown to the model, {lost.sum()} of "
                f"{len(lost)} interactions are{_of_them(filtered)}; expected some of the "
                f"{len(known)} items it was trained with{'' if lost.all() else SKIP}"
            )
        found = replace(sequences, items=self.sequences.items, flat=flat).where(~lost)
        notes = list(sequences.notes)
        if lost.any():
            notes.append(
                f"{lost.sum()} of {len(lost)} interactions are of unknown items, left out"
                f"{_of_them(filtered)}"
            )
        if len(found) < len(sequences):
            notes.append(f"{len(sequences) - len(found)} users have no known item, left out")
        return replace(found, notes=tuple(notes))

    def save(self, path: Path) -> None:
        known, f = self.sequences, self.features
        save_checkpoint(
            path,
            {
                "format": FORMAT,
                "settings": self.settings.model_dump(mode="json"),
                "items": [str(name) for name in known.items],
                "users": [str(name) for name in known.users],
                "flat": torch.from_numpy(known.flat),
                "start": torch.from_numpy(known.start),
                "dropped": [str(name) for name in known.dropped],
                "model": dict(self.model.state_dict()),
                "history": self.history,
                "epochs": self.epochs,
                "features": None
                if f is None
                else {
                    "names": list(f.names),
                    "feature": torch.from_numpy(f.feature),
                    "start": torch.from_numpy(f.start),
                },
            },
        )

    @classmethod
    def load(cls, path: Path) -> Recommender:
        """What :meth:`save` wrote.

        Raises:
            UserError: there is none, or it does not hold together.
        """
        with model_state(path, FORMAT) as state:
            check_kinds(
                state, settings=dict, items=list, users=list, flat=Tensor, start=Tensor,
                model=dict, history=list, epochs=int, features=(dict, type(None)),
            )  # fmt: skip
            settings = load_settings(SeqrecSettings, base=state["settings"], where=path)
            known = state["features"]
            features = known and ItemFeatures(
                tuple(known["names"]), known["feature"].numpy(), known["start"].numpy()
            )
            sequences = Sequences(
                names_array(state["users"], path),
                names_array(state["items"], path),
                state["flat"].numpy(),
                state["start"].numpy(),
                dropped=names_array(state.get("dropped", []), path),
            )
            _check(sequences, features)
            model = _model_of(settings, len(sequences.items), features, state["model"])
            history, epochs = state["history"], state["epochs"]
            return cls(settings, sequences, model.eval(), history, epochs, features)


def _model_of(
    settings: SeqrecSettings, items: int, features: ItemFeatures | None, weights: dict[str, Tensor]
) -> Any:
    """The settings' model with those weights; ValueError where they are another's."""
    if settings.layers > len(weights):  # each has some
        raise ValueError(f"{settings.layers} layers of {len(weights)} weights")

    return restored(lambda: new_model(settings, items, features=features), weights)


def _check(sequences: Sequences, features: ItemFeatures | None) -> None:
    """Raises ValueError where numbers are of no item or feature."""
    items = len(sequences.items)
    _check_parts(sequences.start, sequences.flat, len(sequences), 1, items)
    if (np.diff(sequences.start) == 0).any():
        raise ValueError("a user without an item")
    if features is not None:
        most = len(features.names) - 1
        _check_parts(features.start, features.feature, items + 1, 0, most)


def _check_parts(start: Ints, flat: Ints, parts: int, least: int, most: int) -> None:
    """Raises ValueError where ``flat`` is not in so many parts, or holds other numbers."""
    whole = start.dtype == flat.dtype == np.int64
    if start.shape != (parts + 1,) or flat.ndim != 1 or not whole:
        raise ValueError(f"{flat.shape} numbers in {start.shape} parts")
    if start[0] != 0 or start[-1] != len(flat) or (np.diff(start) < 0).any():
        raise ValueError(f"parts that are not those of {len(flat)} numbers")
    if len(flat) and not least <= flat.min() <= flat.max() <= most:
        raise ValueError(f"numbers from {flat.min()} to {flat.max()} of {most}")


def _of_them(filtered: NDArray[np.bool_]) -> str:
    """How many interactions are of items that the training saw too seldom."""
    if not filtered.any():
        return ""
    return f" ({filtered.sum()} of items that were too rare in training, setting item_min)"
