"""The estimator face: ``fit``, ``partial_fit``, ``predict`` and ``score`` over arrays or clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings, preset_values
from nearfar_speech.clip import Clip, ClipSet, Slots
from nearfar_speech.continual import learn_curriculum, new_learner
from nearfar_speech.extend import extended
from nearfar_speech.prepare import Prepared, prepare
from nearfar_speech.recognise import Recognised, recognise
from nearfar_speech.settings import PRESETS, SpeechSettings
from nearfar_speech.weights import Trained

__all__ = ["SpokenLanguageUnderstanding"]

Recordings = Sequence[NDArray[Any]] | Sequence[Clip]


class SpokenLanguageUnderstanding:
    """Intents, slots and words of short commands, learnt task after task.

    ``fit`` splits the classes into ``tasks`` tasks, five unless told, and learns one after another;
    ``tasks=1`` learns all classes at once, as other estimators do. ``partial_fit`` adds one task of
    new classes to what is known. Works with :func:`sklearn.base.clone`.

    Args:
        preset: ``cpu``, a small network, or ``paper``.
        random_state: seed of all chance.
        settings: any of :class:`nearfar_speech.SpeechSettings`, as keywords.

    Attributes:
        model_: what was learnt; ``save_model(folder, model_)`` keeps it, for ``load_model`` and the
            command line; what was remembered for ``partial_fit`` is not in it.
        classes_: the intents (or scenarios) in the order of learning.

    Raises:
        UserError: a setting is unknown or out of bounds.

    Example:
        >>> model = SpokenLanguageUnderstanding(epochs=5)
        >>> model.settings.epochs
        5
    """

    def __init__(self, preset: str = "cpu", *, random_state: int = 0, **settings: Any) -> None:
        self.preset, self.random_state = preset, random_state
        self._given = settings
        self.settings = load_settings(
            SpeechSettings, base=preset_values(PRESETS, preset) | settings
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The keywords this was made with."""
        return {"preset": self.preset, "random_state": self.random_state, **self._given}

    def set_params(self, **params: Any) -> SpokenLanguageUnderstanding:
        """Changes keywords; what was fitted stays until the next ``fit``."""
        self.__init__(**self.get_params() | params)  # type: ignore[misc]
        return self

    def fit(
        self,
        recordings: Recordings,
        intents: Sequence[str] | None = None,
        *,
        slots: Sequence[Slots | Mapping[str, str]] | None = None,
        transcripts: Sequence[str] | None = None,
    ) -> SpokenLanguageUnderstanding:
        """Learns all tasks, from the beginning.

        Args:
            recordings: samples [L] each, at 16 kHz within -1 to 1; or clips, which bring all else.
            intents: one word each; for samples.
            slots, transcripts: where known.

        Raises:
            UserError: a recording is empty or not finite, lengths disagree, or what
                :func:`nearfar_speech.prepare.prepare` raises.
        """
        clips, samples = _clips(recordings, intents, slots, transcripts, 0)
        found = ClipSet("recordings", clips)
        prepared = prepare(found, self.settings, self.random_state, byte_fallback=True)
        self._learner = new_learner(prepared, self.settings, self.random_state)
        return self._learn(prepared, samples)

    def partial_fit(
        self,
        recordings: Recordings,
        intents: Sequence[str] | None = None,
        *,
        slots: Sequence[Slots | Mapping[str, str]] | None = None,
        transcripts: Sequence[str] | None = None,
    ) -> SpokenLanguageUnderstanding:
        """Learns one more task of new classes; arguments as of :meth:`fit`, which comes first.

        Raises:
            UserError: nothing was fitted, or a class was learnt before.
        """
        self._check_fitted()
        clips, samples = _clips(recordings, intents, slots, transcripts, len(self._prepared.clips))
        found = ClipSet("recordings", clips)
        more = extended(self._prepared, found, self.settings, self.random_state)
        return self._learn(more, samples)

    def predict(self, recordings: Recordings) -> NDArray[np.str_]:
        """Intents [N]."""
        return np.array([found.meaning.intent for found in self.recognise(recordings)])

    def recognise(self, recordings: Recordings) -> list[Recognised]:
        """Intent, slots, transcript and score of each."""
        self._check_fitted()
        features = type(self._learner.features)(self._learner.model.encoder)
        paths = []
        for number, recording in enumerate(recordings):
            if isinstance(recording, Clip):
                paths.append(str(recording.path))
            else:
                paths.append(str(number))
                features.add(paths[-1], _samples(recording, number))
        return recognise(self.model_.model, self.model_.tokens, features, paths, self.settings)

    def score(self, recordings: Recordings, intents: Sequence[str] | None = None) -> float:
        """The share of recordings whose intent is right."""
        clips, _ = _clips(recordings, intents, None, None, 0)
        truth = np.array([clip.intent for clip in clips])
        return float(np.mean(self.predict(recordings) == truth))

    def _learn(
        self, prepared: Prepared, samples: Mapping[str, torch.Tensor]
    ) -> SpokenLanguageUnderstanding:
        learner = self._learner
        learner.features.free = float("inf")  # samples are nowhere else to be had
        for name, wave in samples.items():
            learner.features.add(name, wave)
        learn_curriculum(learner, prepared)
        self._prepared = prepared
        self.model_ = Trained(learner.model, learner.tokens, self.settings, prepared.curriculum)
        self.classes_ = np.array(prepared.curriculum.classes)
        return self

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise UserError("nothing was fitted; expected fit first")


def _clips(
    recordings: Recordings,
    intents: Sequence[str] | None,
    slots: Sequence[Slots | Mapping[str, str]] | None,
    transcripts: Sequence[str] | None,
    first: int,
) -> tuple[tuple[Clip, ...], dict[str, torch.Tensor]]:
    """Clips, and the samples of those that are no files, by their paths; all to train on."""
    clips: list[Clip] = []
    samples: dict[str, torch.Tensor] = {}
    for name, given in (("intents", intents), ("slots", slots), ("transcripts", transcripts)):
        if given is not None and len(given) != len(recordings):
            raise UserError(f"{name}: {len(given)} of {len(recordings)} recordings; expected all")
    for number, recording in enumerate(recordings):
        if isinstance(recording, Clip):
            clips.append(recording if recording.split else replace(recording, split="train"))
            continue
        if intents is None:
            raise UserError("intents are absent; expected one for each recording")
        path = Path(f"recording {first + number}")
        samples[str(path)] = _samples(recording, number)
        own: Any = slots[number] if slots is not None else ()
        pairs = tuple(own.items()) if isinstance(own, Mapping) else tuple(own)
        words = transcripts[number] if transcripts is not None else ""
        clips.append(Clip(path, str(intents[number]), pairs, words, split="train"))
    return tuple(clips), samples


def _samples(recording: Any, number: int) -> torch.Tensor:
    if isinstance(recording, str | Path):
        raise UserError(
            f"recording {number}: is text, {str(recording)!r}; expected samples [L] or a Clip "
            "(read_audio(path).samples reads a file)"
        )
    try:
        wave = torch.as_tensor(np.asarray(recording, dtype=np.float32))
    except (TypeError, ValueError):
        raise UserError(f"recording {number}: holds no numbers; expected samples [L]") from None
    if wave.ndim == 0:
        raise UserError(
            f"recording {number}: is one number; expected samples [L], and a single recording in a "
            "list"
        )
    if wave.ndim != 1 or not len(wave):
        raise UserError(
            f"recording {number}: has shape {tuple(wave.shape)}; expected samples [L], L > 0"
        )
    if bad := int((~wave.isfinite()).sum()):
        raise UserError(
            f"recording {number}: {bad} of {len(wave)} samples are NaN or infinite; expected "
            "finite ones"
        )
    return wave
