"""A trained model on clips: what each one means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar_speech.encoders.encoder import padded
from nearfar_speech.features import Features
from nearfar_speech.model import SpeechModel
from nearfar_speech.search import Hypothesis, decode
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.targets import Target, parse_target
from nearfar_speech.tokens import Tokens

__all__ = ["Recognised", "heard_in", "pooled_features", "recognise"]

_BATCH = 64


@dataclass(frozen=True)
class Recognised:
    """A clip's meaning, the string it was read from, and the string's score (log probability over
    the length penalty)."""

    path: str
    meaning: Target
    text: str
    score: float


def recognise(
    model: SpeechModel,
    tokens: Tokens,
    features: Features,
    paths: Sequence[str],
    settings: SpeechSettings,
) -> list[Recognised]:
    """The best hypothesis of each clip, in the order given."""
    found = []
    for path, best in zip(paths, heard_in(model, features, paths, settings), strict=True):
        text = tokens.decode(best.tokens)
        found.append(Recognised(path, parse_target(text), text, best.score))
    return found


def heard_in(
    model: SpeechModel, features: Features, paths: Sequence[str], settings: SpeechSettings
) -> list[Hypothesis]:
    """Tokens and score of each clip, in the order given."""
    found: dict[int, Hypothesis] = {}
    for numbers, sounds, lengths in _by_length(model, features, paths):
        best = decode(
            model, sounds, lengths, beam=settings.beam, limit=settings.max_tokens,
            penalty=settings.length_penalty,
        )  # fmt: skip
        found |= dict(zip(numbers, best, strict=True))
    return [found[number] for number in range(len(paths))]


@torch.no_grad()
def pooled_features(
    model: SpeechModel, features: Features, paths: Sequence[str]
) -> NDArray[np.float64]:
    """[N, E]: the encoder's frames averaged over time, in evaluation mode."""
    rows: NDArray[Any] = np.zeros((len(paths), model.encoder.width))
    before = model.training
    model.eval()
    for numbers, sounds, lengths in _by_length(model, features, paths):
        rows[numbers] = model.hear(sounds, lengths).mean().double().cpu().numpy()
    model.train(before)
    return rows


def _by_length(
    model: SpeechModel, features: Features, paths: Sequence[str]
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Batches of clips of like lengths: their places among ``paths``, features, lengths."""
    device = next(model.parameters()).device
    order = sorted(range(len(paths)), key=lambda n: len(features.of(paths[n])))
    for start in range(0, len(order), _BATCH):
        numbers = order[start : start + _BATCH]
        sounds, lengths = padded([features.of(paths[n]) for n in numbers])
        yield numbers, sounds.to(device), lengths.to(device)
