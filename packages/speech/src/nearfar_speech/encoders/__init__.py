"""Audio encoders: Google's speech_embedding, a Conformer, or one that ``transformers`` knows."""

from __future__ import annotations

from typing import Any

from nearfar_speech.encoders.encoder import Encoder

__all__ = ["Encoder", "make_encoder"]


def make_encoder(name: str = "speech_embedding", **options: Any) -> Encoder:
    """An encoder by name.

    Args:
        name: ``speech_embedding``, ``conformer``, or what ``transformers`` loads.
        options: the encoder's own.

    Raises:
        UserError: it cannot be had; the line tells what to install.

    Example:
        >>> import torch
        >>> frames, lengths = make_encoder()(torch.zeros(2, 16_000), torch.tensor([16_000, 8_000]))
        >>> frames.shape, lengths
        (torch.Size([2, 13, 96]), tensor([13,  6]))
    """
    if name == "speech_embedding":
        from nearfar_speech.encoders.speech_embedding import SpeechEmbedding

        return SpeechEmbedding(**options)
    if name == "conformer":
        from nearfar_speech.encoders.conformer import Conformer

        return Conformer(**options)
    from nearfar_speech.encoders.huggingface import HuggingFace

    return HuggingFace(name, **options)
