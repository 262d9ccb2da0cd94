"""Which word came first: clips against captions, a clip's own turned round as a negative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.functional import multi_view_weighted
from nearfar_kit.errors import UserError
from nearfar_kit.seeds import seed_everything
from nearfar_speech.audio_text.caption_tower import CaptionTower
from nearfar_speech.audio_text.speech_tower import SpeechTower, features_of
from nearfar_speech.audio_text.training import train_tower
from nearfar_speech.clip import Clip
from nearfar_speech.encoders import make_encoder
from nearfar_speech.features import Features

__all__ = ["OrderContrast", "distinct_batches", "hard_caption_loss"]


def hard_caption_loss(
    speech: Tensor,
    text: Tensor,
    hard: Tensor | None = None,
    *,
    own: float = 1.0,
    cross: float = 0.0,
    temperature: float = 0.1,
) -> Tensor:
    """Speech [N, D] against captions [N, D], the mean of both directions; a clip meets its own hard
    captions ``hard`` [h, N, D] weighted by ``own``, and the other clips' by ``cross``::

        -log e^{s(i, i)} / ( sum_j e^{s(i, j)} + R_i )
        R_i = own sum_k e^{s(i, hard[k, i])} + cross sum_{k, j != i} e^{s(i, hard[k, j])}

    A caption meets clips alone. ``own=1, cross=0`` is CompA (Ghosh et al. 2023, arXiv 2310.08753),
    whose hard negatives their owner alone sees; with ``cross`` it is after TeminAL (Sinha et al.
    2024, arXiv 2408.09269). Without ``hard``, CLIP.

    Raises:
        ValueError: a weight below 0, and what the core's loss raises.
    """
    if min(own, cross) < 0:
        raise ValueError(f"own and cross are {own} and {cross}; expected 0 or more")
    others, weights = [text[None]], [speech.new_ones(1)]
    if hard is not None and cross:
        others, weights = [*others, hard], [*weights, speech.new_full((len(hard),), cross)]
    to_text = multi_view_weighted(
        speech, text[None],
        own_negatives=hard if own else None,
        own_weights=None if hard is None or not own else speech.new_full((len(hard),), own),
        shared_negatives=torch.cat(others), shared_weights=torch.cat(weights),
        temperature=temperature,
    )  # fmt: skip
    to_speech = multi_view_weighted(
        text, speech[None], shared_negatives=speech[None], temperature=temperature
    )
    return (to_text + to_speech) / 2


class OrderContrast:
    """Clips and captions in one space, both towers trained.

    Args:
        own, cross: weights of :func:`hard_caption_loss`.
        temperature: of its scores, above 0.
        dims: of the space.
        encoder: a name of :func:`nearfar_speech.encoders.make_encoder`.
        encoder_options: its own.
        features: features that are there already, of the same encoder; None: made as needed.
        steps, batch, learning_rate: of training. No caption is twice in a batch.
        random_state: seed of all chance.

    Attributes:
        tower_, captions_: the towers.
    """

    def __init__(
        self,
        *,
        own: float = 1.0,
        cross: float = 0.0,
        temperature: float = 0.1,
        dims: int = 64,
        encoder: str = "speech_embedding",
        encoder_options: dict[str, Any] | None = None,
        features: Features | None = None,
        steps: int = 300,
        batch: int = 32,
        learning_rate: float = 2e-3,
        random_state: int = 0,
    ) -> None:
        self.own, self.cross = own, cross
        self.temperature = temperature
        self.dims = dims
        self.encoder = encoder
        self.encoder_options = encoder_options
        self.features = features
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate
        self.random_state = random_state

    def fit(
        self,
        clips: Sequence[Clip | Path | str],
        captions: Sequence[str],
        hard: Sequence[Sequence[str]] | None = None,
    ) -> OrderContrast:
        """Clips, what each is, and of each as many captions that are wrong for it alone.

        Raises:
            UserError: not as many of each, or fewer than two different captions.
        """
        if len(clips) != len(captions) or len(set(captions)) < 2:
            raise UserError(
                f"{len(clips)} clips and {len(captions)} captions; expected as many, 2 or more "
                "different ones"
            )
        counts = {len(own) for own in hard} if hard is not None else {0}
        if hard is not None and (len(hard) != len(clips) or len(counts) != 1):
            raise UserError(
                f"hard captions of {len(hard)} clips, {sorted(counts)} each; expected of "
                f"{len(clips)}, and as many of each"
            )
        seed_everything(self.random_state)
        encoder = make_encoder(self.encoder, **(self.encoder_options or {}))
        self.features_ = self.features or Features(encoder)
        self.tower_ = SpeechTower(encoder, self.dims)
        self.captions_ = CaptionTower(self.dims)

        def loss(speech: Tensor, rows: Tensor) -> Tensor:
            picked = rows.tolist()
            wrong = [w for i in picked for w in hard[i]] if hard is not None else []
            vectors = self.captions_([captions[i] for i in picked] + wrong)
            text, rest = vectors[: len(picked)], vectors[len(picked) :]
            own = rest.unflatten(0, (len(picked), -1)).transpose(0, 1) if wrong else None
            return hard_caption_loss(
                speech, text, own, own=self.own, cross=self.cross, temperature=self.temperature
            )

        train_tower(
            self.tower_,
            features_of(self.features_, clips),
            loss,
            steps=self.steps,
            batches=distinct_batches(captions, self.batch, self.random_state),
            learning_rate=self.learning_rate,
            beside=[self.captions_],
        )
        return self

    def transform(self, clips: Sequence[Clip | Path | str]) -> NDArray[np.float32]:
        """Unit vectors [N, D] of clips."""
        return np.asarray(self.tower_.embed(features_of(self.features_, clips)))

    def scores(
        self, clips: Sequence[Clip | Path | str], captions: Sequence[str]
    ) -> NDArray[np.float32]:
        """Cosines [N, M] of clips with captions."""
        scores: NDArray[np.float32] = (
            self.transform(clips) @ self.captions_.embed(captions).numpy().T
        )
        return scores


def distinct_batches(captions: Sequence[str], batch: int, seed: int) -> Iterator[Tensor]:
    """Numbers of clips, of which no two have one caption, without end."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[int]] = {}
    for i, caption in enumerate(captions):
        rows.setdefault(caption, []).append(i)
    own = list(rows.values())
    while True:
        chosen = rng.permutation(len(own))[:batch]
        yield torch.tensor([int(rng.choice(own[c])) for c in chosen])
