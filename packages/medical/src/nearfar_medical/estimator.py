"""The estimator face: ``fit``, ``predict`` and ``score`` over data sets of volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings, preset_values
from nearfar_medical.cache import prepared
from nearfar_medical.cases import DataSet, find_cases
from nearfar_medical.geometry import filled
from nearfar_medical.predict import predict_case, score_labelled
from nearfar_medical.prepare import Preparation
from nearfar_medical.settings import PRESETS, MedicalSettings
from nearfar_medical.split import split_cases
from nearfar_medical.train import Lesson, learn, new_network, seen_in
from nearfar_medical.volume import classes_in, on_file_axes
from nearfar_medical.weights import Model

__all__ = ["VolumeSegmenter"]


class VolumeSegmenter:
    """Structures in volumes of which one to eight have a mask.

    ``fit`` pre-trains on all volumes and learns from those with a mask, of which
    ``validation`` choose the best weights. Works with :func:`sklearn.base.clone`.

    Args:
        preset: ``gpu``, the paper's settings, or ``cpu``, small ones.
        random_state: seed of all chance.
        settings: any of :class:`nearfar_medical.MedicalSettings`, as keywords.

    Attributes:
        model_: what was learnt; ``weights.save_model(path, model_)`` keeps it.
        classes_: names of the structures, the background first.

    Raises:
        UserError: a setting is unknown or out of bounds.

    Example:
        >>> import tempfile
        >>> from nearfar_medical.simulate import write_simulated
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_simulated(folder, 4)
        >>> few = dict(global_steps=1, local_steps=1, tuned_steps=1, widths=[4, 8, 8, 8], volumes=2)
        >>> model = VolumeSegmenter("cpu", labelled=1, **few).fit(folder)
        >>> masks = model.predict(folder / "images")
        >>> masks["simulated_000"].shape
        (32, 40, 32)
    """

    def __init__(self, preset: str = "gpu", *, random_state: int = 0, **settings: Any) -> None:
        self.preset, self.random_state = preset, random_state
        self._given = settings
        self.settings = load_settings(
            MedicalSettings, base=preset_values(PRESETS, preset) | settings
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The keywords this was made with."""
        return {"preset": self.preset, "random_state": self.random_state, **self._given}

    def set_params(self, **params: Any) -> VolumeSegmenter:
        """Changes keywords; what was fitted stays until the next ``fit``."""
        self.__init__(**self.get_params() | params)  # type: ignore[misc]
        return self

    def fit(self, data: Path | str | DataSet, y: None = None) -> VolumeSegmenter:
        """Learns from a data set, or a path in any of the layouts.

        Raises:
            UserError: a fault in the data, or too few volumes with a mask.
        """
        dataset = _dataset(data)
        s, seed = self.settings, self.random_state
        split = split_cases(
            dataset, labelled=s.labelled, validation=s.validation, test=None, seed=seed
        )
        classes = dataset.classes or classes_in(dataset.labelled)
        s = filled(s, split.pretraining)
        cases = [*split.pretraining, *split.validation]
        lesson = Lesson.of(split, prepared(cases, Preparation.of(s), classes, None))
        network = new_network(s, lesson.pool[0].image.shape[0], len(classes), seed)
        learn(network, lesson, s, seed)
        seen = seen_in(split, s)
        self.model_ = Model.of(network, s, classes, network.depths + 1, seen)
        self.classes_ = np.array([classes[value] for value in sorted(classes)])
        return self

    def predict(self, data: Path | str | DataSet) -> dict[str, NDArray[np.integer]]:
        """Each case's mask of codes, on its file's own voxels [I, J, K], by name."""
        found = {}
        for case in _dataset(data).cases:
            mask, _, grid = predict_case(self.model_, case)
            found[case.name] = on_file_axes(mask, grid)
        return found

    def score(self, data: Path | str | DataSet, y: None = None) -> float:
        """The mean Dice of all structures, over the volumes that have a mask."""
        rows = [
            row for case in _dataset(data).labelled for row in score_labelled(self.model_, case)
        ]
        if not rows:
            raise UserError(f"{data}: no volume has a mask; expected labelled ones")
        return float(np.nanmean([row.dice for row in rows]))


def _dataset(data: Path | str | DataSet) -> DataSet:
    return data if isinstance(data, DataSet) else find_cases(data)
