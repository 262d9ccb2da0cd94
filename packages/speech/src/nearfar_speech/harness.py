"""SpeechBrain, imported in this one place: something has to be mended before it and after."""

from __future__ import annotations

from nearfar_speech.compat import ensure_torchaudio, quiet_redirects

ensure_torchaudio()

from speechbrain.utils.edit_distance import accumulatable_wer_stats  # noqa: E402

quiet_redirects()

__all__ = ["accumulatable_wer_stats"]
