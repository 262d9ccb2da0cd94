"""The estimator face: ``fit``, ``predict`` and ``transform`` over windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar_har.evaluate import with_activities_of
from nearfar_har.metrics import macro_f1
from nearfar_har.model import HarModel
from nearfar_har.settings import HarSettings
from nearfar_har.train import train
from nearfar_har.windows import Windows
from nearfar_kit.settings import load_settings

__all__ = ["ActivityClassifier"]


class ActivityClassifier:
    """Activities from several body-worn sensors, most of whose windows have no label.

    ``fit`` pre-trains on all windows and learns activities from those that are labelled
    (``windows.activity >= 0``). Works with :func:`sklearn.base.clone`.

    Args:
        random_state: seed of all chance.
        settings: any of :class:`nearfar_har.HarSettings`, as keywords; ``pretext="colossl"`` is
            Jain et al. 2022 (arXiv 2202.00758).

    Attributes:
        model_: what was learnt; ``model_.save(path)`` keeps it.
        classes_: names of activities, in the order of ``predict_proba``.

    Raises:
        UserError: a setting is unknown or out of bounds.
    """

    def __init__(self, *, random_state: int = 0, **settings: Any) -> None:
        self.random_state = random_state
        self._given = settings
        self.settings = load_settings(HarSettings, base=settings)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The keywords this was made with."""
        return {"random_state": self.random_state, **self._given}

    def set_params(self, **params: Any) -> ActivityClassifier:
        """Changes keywords; what was fitted stays until the next ``fit``."""
        self.__init__(**self.get_params() | params)  # type: ignore[misc]
        return self

    def fit(self, windows: Windows, y: None = None) -> ActivityClassifier:
        """Learns from windows, labelled or not.

        Raises:
            UserError: fewer than two activities are labelled.
        """
        self.model_: HarModel = train(windows, self.settings, self.random_state)
        self.classes_ = np.array(self.model_.activities)
        return self

    def predict_proba(self, windows: Windows) -> np.ndarray:
        """Probabilities [N, activities] from the devices present; uniform where none is."""
        return self.model_.probabilities(windows)[0]

    def predict(self, windows: Windows) -> np.ndarray:
        """Names of activities [N]."""
        names: np.ndarray = self.classes_[self.predict_proba(windows).argmax(1)]
        return names

    def transform(self, windows: Windows, device: str) -> np.ndarray:
        """One device's embeddings [N, features]; NaN where it is absent."""
        features, rows = self.model_.embeddings(windows, device)
        whole = np.full((len(windows), features.shape[1]), np.nan, dtype=features.dtype)
        whole[rows] = features
        return whole

    def score(self, windows: Windows, y: None = None) -> float:
        """Macro F1 on the labelled windows."""
        windows = with_activities_of(self.model_, windows)
        labelled = windows.select(windows.activity >= 0)
        return macro_f1(labelled.activity, self.predict_proba(labelled).argmax(1))
