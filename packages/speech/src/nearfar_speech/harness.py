"""SpeechBrain, imported in this one place: torchaudio has to be mended before it."""

from __future__ import annotations

from nearfar_speech.compat import ensure_torchaudio

ensure_torchaudio()

from speechbrain.utils.edit_distance import accumulatable_wer_stats  # noqa: E402

__all__ = ["accumulatable_wer_stats"]
