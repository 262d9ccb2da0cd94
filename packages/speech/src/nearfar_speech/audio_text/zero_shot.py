"""Intents that were never trained: speech is pulled to where a frozen text tower puts its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from nearfar.functional import clip as clip_loss
from nearfar.functional import info_nce, soft_targets
from nearfar.targets import Factored, Teacher
from nearfar_kit.errors import UserError
from nearfar_kit.seeds import seed_everything
from nearfar_speech.audio_text.latent_text import LatentText
from nearfar_speech.audio_text.speech_tower import SpeechTower, features_of
from nearfar_speech.audio_text.training import shuffled_batches, train_tower
from nearfar_speech.clip import Clip
from nearfar_speech.encoders import make_encoder
from nearfar_speech.features import Features

__all__ = ["Contrast", "ZeroShot", "contrast", "prompt_vectors"]

Contrast = Literal["cwcl", "cwcl-softmax", "clip"]
TextTower = Callable[[Sequence[str]], Any]


def contrast(speech: Tensor, text: Tensor, loss: Contrast, temperature: float) -> Tensor:
    """Speech [N, D] against its texts [N, D], the texts' tower frozen.

    ``cwcl`` is Srinivasa et al. 2023 (arXiv 2309.14580): each clip is pulled to all texts, the more
    so the more they are like its own, ``w_ij = (cos + 1) / 2``; each text to its own clip alone.
    ``cwcl-softmax`` has ``w_ij`` as ``exp((cos - 1) / 0.1)``, which leaves little to texts that
    have nothing in common. ``clip`` pulls a clip to its own text alone.

    Raises:
        ValueError: an unknown loss, and what the losses raise.
    """
    if loss == "clip":
        return clip_loss(speech, text, logit_scale=1 / temperature)
    if loss not in get_args(Contrast):
        raise ValueError(f"loss is {loss!r}; expected one of {', '.join(get_args(Contrast))}")
    frozen = text.detach()
    alike = Factored.cosine(frozen, frozen) if loss == "cwcl" else Teacher(frozen, frozen, 0.1)
    to_text = soft_targets(speech, text, alike, temperature=temperature)
    return (to_text + info_nce(text, speech, temperature=temperature)) / 2


def prompt_vectors(text: TextTower, prompts: Mapping[str, str | Sequence[str]]) -> Tensor:
    """[classes, D], the mean of each class's prompts.

    Raises:
        UserError: a class has no prompt, or none that the text tower knows anything of.
    """
    rows = []
    for name, own in prompts.items():
        mean = torch.as_tensor(text([own] if isinstance(own, str) else list(own))).float()
        if not len(mean) or not bool(mean.mean(0).any()):
            raise UserError(
                f"class {name!r}: its prompts say nothing; expected words that are known"
            )
        rows.append(normalize(mean, dim=1).mean(0))
    return normalize(torch.stack(rows), dim=1)


class ZeroShot:
    """Speech beside a frozen text tower; classes are given by prompts when they are asked for.

    Args:
        text: texts -> vectors [N, D], frozen; None: :class:`LatentText` of the texts of ``fit``.
        loss: of :func:`contrast`.
        temperature: of its scores, above 0.
        encoder: a name of :func:`nearfar_speech.encoders.make_encoder`.
        encoder_options: its own.
        features: features that are there already, of the same encoder; None: made as needed.
        steps, batch, learning_rate: of training.
        random_state: seed of all chance.

    Attributes:
        text_: the text tower. tower_: the speech tower.

    Raises:
        UserError: clips and texts are not as many, or fewer than two.
    """

    def __init__(
        self,
        *,
        text: TextTower | None = None,
        loss: Contrast = "cwcl",
        temperature: float = 0.1,
        encoder: str = "speech_embedding",
        encoder_options: Mapping[str, Any] | None = None,
        features: Features | None = None,
        steps: int = 200,
        batch: int = 64,
        learning_rate: float = 2e-3,
        random_state: int = 0,
    ) -> None:
        self.text = text
        self.loss = loss
        self.temperature = temperature
        self.encoder = encoder
        self.encoder_options = encoder_options
        self.features = features
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate
        self.random_state = random_state

    def fit(self, clips: Sequence[Clip | Path | str], texts: Sequence[str]) -> ZeroShot:
        """Clips and what is said in them, as far as known: transcripts, or sentences of labels."""
        if len(clips) != len(texts) or len(clips) < 2:
            raise UserError(
                f"{len(clips)} clips and {len(texts)} texts; expected as many, 2 or more"
            )
        seed_everything(self.random_state)
        self.text_ = self.text or LatentText(texts)
        vectors = torch.as_tensor(np.asarray(self.text_(texts))).float()
        encoder = make_encoder(self.encoder, **(self.encoder_options or {}))
        self.features_ = self.features or Features(encoder)
        self.tower_ = SpeechTower(encoder, vectors.shape[1])
        train_tower(
            self.tower_,
            features_of(self.features_, clips),
            lambda speech, rows: contrast(speech, vectors[rows], self.loss, self.temperature),
            steps=self.steps,
            batches=shuffled_batches(len(clips), self.batch, self.random_state),
            learning_rate=self.learning_rate,
        )
        return self

    def transform(self, clips: Sequence[Clip | Path | str]) -> NDArray[np.float32]:
        """Unit vectors [N, D] in the text tower's space."""
        return np.asarray(self.tower_.embed(features_of(self.features_, clips)))

    def decision_function(
        self,
        clips: Sequence[Clip | Path | str],
        prompts: Mapping[str, str | Sequence[str]],
    ) -> NDArray[np.float32]:
        """Cosines [N, classes] with each class's mean prompt, in the order of ``prompts``."""
        classes = prompt_vectors(self.text_, prompts).numpy()
        return np.asarray(self.transform(clips) @ classes.T)

    def predict(
        self,
        clips: Sequence[Clip | Path | str],
        prompts: Mapping[str, str | Sequence[str]],
    ) -> NDArray[np.str_]:
        """The class [N] whose prompts are nearest.

        Args:
            prompts: of each class one text or several; no class needs to have been trained.
        """
        names: list[str] = list(prompts)
        nearest = self.decision_function(clips, prompts).argmax(1)
        return np.array([names[i] for i in nearest])
