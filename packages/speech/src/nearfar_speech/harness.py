"""SpeechBrain, imported in this one place: something has to be mended before it and after."""

from __future__ import annotations

from nearfar_speech.compat import ensure_torchaudio, quiet_redirects

ensure_torchaudio()

from speechbrain.lobes.features import Fbank  # noqa: E402
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder  # noqa: E402
from speechbrain.lobes.models.transformer.Transformer import (  # noqa: E402
    PositionalEncoding,
    TransformerDecoder,
)
from speechbrain.nnet.attention import RelPosEncXL  # noqa: E402
from speechbrain.utils.edit_distance import accumulatable_wer_stats  # noqa: E402

quiet_redirects()

__all__ = [
    "ConformerEncoder",
    "Fbank",
    "PositionalEncoding",
    "RelPosEncXL",
    "TransformerDecoder",
    "accumulatable_wer_stats",
]
