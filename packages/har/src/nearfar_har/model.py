"""The model that ``train`` leaves and ``classify`` uses: an encoder, and a classifier a device."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from nearfar_har.encoder import Encoder, make_encoder
from nearfar_har.finetune import Classifier, predict, tuned_head
from nearfar_har.probe import embed
from nearfar_har.readers.table import UNNAMED
from nearfar_har.scale import Scale
from nearfar_har.windows import Windows
from nearfar_kit.checkpoint import check_kinds, model_state, restored, save_checkpoint
from nearfar_kit.digests import digest
from nearfar_kit.errors import UserError

__all__ = ["HarModel"]

FORMAT = "nearfar-har model 1"


@dataclass
class HarModel:
    """Everything needed to classify windows of the same rate and length.

    Attributes:
        rate: samples a second. samples: W, of a window.
        classifiers: by device.
        subjects: digests of the names of those trained on.
    """

    encoder_name: str
    readout: str  # what the classifiers' heads are: probe or tuned
    encoder: Encoder
    scale: Scale
    rate: float
    samples: int
    overlap: float
    activities: tuple[str, ...]
    classifiers: dict[str, Classifier]
    subjects: frozenset[str] = frozenset()

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.samples / self.rate

    def trained_on(self, windows: Windows) -> list[str]:
        """Which of the windows' subjects were trained on, by their names, as far as they have any.

        People of two data sets may be called alike, so this is a hint and no proof.
        """
        here = {windows.subjects[s] for s in set(windows.subject.tolist())} - {UNNAMED}
        return sorted(name for name in here if digest(name) in self.subjects)

    def check(self, windows: Windows) -> None:
        """Raises UserError where the windows are not of this model's kind."""
        if windows.samples != self.samples or abs(windows.rate - self.rate) > 1e-6:
            raise UserError(
                f"windows of {windows.samples} samples at {windows.rate:g} Hz; the model expects "
                f"{self.samples} at {self.rate:g} Hz"
            )
        if not set(windows.devices) & set(self.classifiers):
            raise UserError(
                f"devices {', '.join(windows.devices)}: none is known to the model; expected some "
                f"of {', '.join(self.classifiers)}"
            )

    def probabilities(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """Activities' probabilities [N, activities], and how many devices spoke [N].

        The devices that are present and known vote by the mean of their log-probabilities; rows
        without any are uniform, with 0 devices.
        """
        self.check(windows)
        votes = np.zeros((len(windows), len(self.activities)))
        spoke = np.zeros(len(windows), np.int64)
        for name, classifier in self.classifiers.items():
            if name in windows.devices:
                device = windows.devices.index(name)
                rows = np.flatnonzero(windows.present[:, device])
                if len(rows):
                    p = predict(classifier, self.scale.apply(windows.signals[rows, device]))
                    votes[rows] += np.log(p + 1e-9)
                    spoke[rows] += 1
        votes /= np.maximum(spoke, 1)[:, None]
        p = np.exp(votes - votes.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True), spoke

    def device_predictions(self, windows: Windows, name: str) -> tuple[np.ndarray, np.ndarray]:
        """One device's predicted activities [n] and the rows [n] where it is present."""
        signals, rows = windows.of_device(name)
        predicted = predict(self.classifiers[name], self.scale.apply(signals)).argmax(1)
        return predicted, rows

    def embeddings(self, windows: Windows, name: str) -> tuple[np.ndarray, np.ndarray]:
        """One device's embeddings [n, features] by the pre-trained encoder, and the rows [n]."""
        signals, rows = windows.of_device(name)
        return embed(self.encoder, self.scale.apply(signals)), rows

    def save(self, path: Path | str) -> None:
        save_checkpoint(
            path,
            {
                "format": FORMAT,
                "encoder_name": self.encoder_name,
                "readout": self.readout,
                "encoder": dict(self.encoder.state_dict()),
                "scale": asdict(self.scale),
                "rate": self.rate,
                "samples": self.samples,
                "overlap": self.overlap,
                "activities": self.activities,
                "classifiers": {d: dict(c.state_dict()) for d, c in self.classifiers.items()},
                "subjects": sorted(self.subjects),
            },
        )

    @classmethod
    def load(cls, path: Path | str) -> HarModel:
        """What :meth:`save` wrote.

        Raises:
            UserError: there is none, or it does not hold together.
        """
        with model_state(path, FORMAT) as state:
            check_kinds(
                state, encoder_name=str, readout=str, encoder=dict, scale=dict, rate=float,
                samples=int, overlap=float, activities=(tuple, list), classifiers=dict,
                subjects=list,
            )  # fmt: skip
            check_kinds(state["scale"], acceleration=float, rate=float)
            model = cls(
                encoder_name=state["encoder_name"],
                readout=state["readout"],
                encoder=restored(lambda: _encoder(state), state["encoder"]).eval(),
                scale=Scale(**state["scale"]),
                rate=state["rate"],
                samples=state["samples"],
                overlap=state["overlap"],
                activities=tuple(state["activities"]),
                classifiers={
                    device: restored(lambda: _classifier(state), weights).eval()
                    for device, weights in state["classifiers"].items()
                },
                subjects=frozenset(state["subjects"]),
            )
            _check(model)
        return model


def _check(model: HarModel) -> None:
    """Raises ValueError where parts that are no weights are none of a model."""
    numbers = (model.rate, model.scale.acceleration, model.scale.rate)
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise ValueError(f"a rate or scale of {numbers}")
    if not 0 <= model.overlap < 1:
        raise ValueError(f"an overlap of {model.overlap}")
    if model.readout not in ("probe", "tuned"):
        raise ValueError(f"a readout of {model.readout!r}")
    names = (*model.activities, *model.classifiers, *model.subjects)
    if not model.classifiers or not all(isinstance(name, str) for name in names):
        raise ValueError("no classifier, or names that are none")


def _encoder(state: dict[str, Any]) -> Encoder:
    return make_encoder(state["encoder_name"], state["samples"])


def _classifier(state: dict[str, Any]) -> Classifier:
    encoder = _encoder(state)
    activities = len(state["activities"])
    if state["readout"] == "probe":
        head: nn.Module = nn.Linear(encoder.features, activities)
    else:
        head = tuned_head(encoder.features, activities)
    return Classifier(encoder, head)
