"""wav2vec 2.0, HuBERT or WavLM, by name or from a local folder, through ``transformers``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, pad

from nearfar_kit.errors import UserError, first_line
from nearfar_speech.encoders.encoder import Encoder, padding_mask

__all__ = ["HuggingFace"]

_KINDS = ("wav2vec2", "hubert", "wavlm")


class HuggingFace(Encoder):
    """A frame every 20 ms; the feature extractor's convolutions stay as they are, the rest learns.

    The convolutions see one clip at a time: those of the base models normalise over time, and what
    is padded would change the clip.

    Args:
        name: of a model of the hub, or a folder that ``save_pretrained`` wrote.

    Raises:
        UserError: transformers is not installed, there is no such model, or it is of another kind.
    """

    pretrained = True

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            from transformers import AutoConfig, AutoModel
        except ImportError:
            raise UserError(
                f"encoder {name}: needs transformers; pip install 'nearfar-speech[transformers]'"
            ) from None
        try:
            kind = AutoConfig.from_pretrained(name).model_type
            if kind not in _KINDS:
                raise UserError(f"encoder {name}: is a {kind}; expected one of {', '.join(_KINDS)}")
            # Nothing but safetensors: a pickle of a stranger could run anything.
            self.model: Any = AutoModel.from_pretrained(name, use_safetensors=True)
        except (OSError, ValueError) as error:
            reason = first_line(error)
            raise UserError(f"encoder {name}: cannot be loaded ({reason})") from None
        self.model.feature_extractor.requires_grad_(False)
        self.model.feature_extractor._requires_grad = False
        self.width = int(self.model.config.hidden_size)
        self.least = self._receptive_field()

    @torch.no_grad()
    def front(self, samples: Tensor) -> Tensor:
        """[L] -> [M, 512]: the clip normalised, then the convolutions."""
        wave = layer_norm(samples, samples.shape)
        wave = pad(wave, (0, max(0, self.least - len(wave))))
        features: Tensor = self.model.feature_extractor(wave[None])[0]
        return features.T.contiguous()

    def body(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        there = ~padding_mask(lengths, features.shape[1])
        hidden = self.model.feature_projection(features)
        if isinstance(hidden, tuple):  # all but HuBERT give their normalised input as well
            hidden = hidden[0]
        frames = self.model.encoder(hidden, attention_mask=there).last_hidden_state
        return frames, lengths

    def _receptive_field(self) -> int:
        """Samples that the first frame sees."""
        size, step = 1, 1
        told = self.model.config
        for kernel, stride in zip(told.conv_kernel, told.conv_stride, strict=True):
            size, step = size + (kernel - 1) * step, step * stride
        return int(size)
